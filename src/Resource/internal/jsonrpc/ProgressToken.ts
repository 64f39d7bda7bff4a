/**
 * Progress tokens of MCP: a request has a token, and the server's progress reports for this request have the same token.
 *
 * @since 0.1.0
 */
import { isFields } from "./Codec.ts"

/** Identifies a request in the server's reports. */
export type ProgressToken = string | number

const isToken = (value: unknown): value is ProgressToken => typeof value === "string" || typeof value === "number"

/** Adds a token to the params of a request, and returns both. If the params already have a token, that is used. */
export const withToken = (
  params: object | undefined,
  token: ProgressToken
): { readonly params: object; readonly token: ProgressToken } | undefined => {
  const fields: unknown = params ?? {}
  // An array cannot have a token, and the JSON of a value with `toJSON` is unknown here.
  if (!isFields(fields) || "toJSON" in fields) return undefined
  const meta = isFields(fields["_meta"]) ? fields["_meta"] : {}
  const own = meta["progressToken"]
  return isToken(own)
    ? { params: fields, token: own }
    : { params: { ...fields, _meta: { ...meta, progressToken: token } }, token }
}

/** The token of a progress report; `undefined` for any other message. */
export const tokenOf = (method: string, params: unknown): ProgressToken | undefined => {
  if (method !== "notifications/progress" || !isFields(params)) return undefined
  const token = params["progressToken"]
  return isToken(token) ? token : undefined
}
