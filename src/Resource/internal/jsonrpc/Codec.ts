/**
 * Decodes and encodes JSON-RPC 2.0 messages, one a line. Decoding never throws.
 *
 * @since 0.1.0
 */

/** What a peer sent in one line. */
export type Incoming = Answer | Refusal | UnattributedRefusal | Notification | ServerRequest | Malformed

/** The result of a request of ours. */
export interface Answer {
  readonly _tag: "Answer"
  /** A whole number of at least 1. */
  readonly id: number
  readonly result: unknown
}

/** The error that a request of ours was answered with. */
export interface Refusal {
  readonly _tag: "Refusal"
  /** A whole number of at least 1. */
  readonly id: number
  readonly code: number
  readonly text: string
  readonly data: unknown
}

/** An error that belongs to no request: the server could not read what we sent. */
export interface UnattributedRefusal {
  readonly _tag: "UnattributedRefusal"
  readonly code: number
  readonly text: string
  readonly data: unknown
}

/** A message that wants no answer. */
export interface Notification {
  readonly _tag: "Notification"
  readonly method: string
  readonly params: unknown
}

/** A request of the server to us. */
export interface ServerRequest {
  readonly _tag: "ServerRequest"
  readonly id: string | number
  readonly method: string
}

/** The line breaks a rule, which completes the sentence "it must ...". */
export interface Malformed {
  readonly _tag: "Malformed"
  readonly rule: string
}

/** A line breaks this rule. */
export const malformed = (rule: string): Malformed => ({ _tag: "Malformed", rule })

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * `undefined` is not a JSON value, so it means "not JSON" here. A Schema would decode the same text in two to three times the
 * time that `JSON.parse` takes, for every message, and there is no shape here that it could enforce for the caller.
 */
const parseJson = (text: string): unknown => {
  try {
    // oxlint-disable-next-line effecttsgo/prefer-schema-over-json
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const decodeCall = (fields: Fields): Incoming => {
  const { id, method, params } = fields
  if (typeof method !== "string") return malformed("have a string as its method")
  if (params !== undefined && (typeof params !== "object" || params === null)) {
    return malformed("have an object or an array as its params")
  }
  if (id === undefined) return { _tag: "Notification", method, params }
  if (typeof id === "string") return { _tag: "ServerRequest", id, method }
  if (typeof id !== "number") return malformed("have a string or a number as its id")
  // A larger number was rounded, and would be the id of another request.
  return Math.abs(id) <= Number.MAX_SAFE_INTEGER
    ? { _tag: "ServerRequest", id, method }
    : malformed("have an id that a double can hold exactly")
}

const decimal = /^[1-9][0-9]{0,15}$/

/** The id of a request of ours. Some servers give ids back as strings. */
export const requestId = (id: unknown): number | undefined => {
  const number = typeof id === "string" && decimal.test(id) ? Number(id) : id
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 1 ? number : undefined
}

const wasAsked = malformed("answer a request that was asked")

const decodeRefusal = (id: unknown, error: Fields): Incoming => {
  const { code, data, message } = error
  if (!Number.isInteger(code) || typeof message !== "string") {
    return malformed("have an error with a whole number as its code and a string as its message")
  }
  const refusal = { code: Number(code), text: message, data }
  if (id === null || id === undefined) return { _tag: "UnattributedRefusal", ...refusal }
  const asked = requestId(id)
  return asked === undefined ? wasAsked : { _tag: "Refusal", id: asked, ...refusal }
}

const decodeAnswer = (fields: Fields): Incoming => {
  const { error, id } = fields
  const hasResult = Object.hasOwn(fields, "result")
  // Servers with habits of version 1 send both, one of them null.
  if (hasResult && (error === undefined || error === null)) {
    const asked = requestId(id)
    return asked === undefined ? wasAsked : { _tag: "Answer", id: asked, result: fields["result"] }
  }
  if (hasResult && fields["result"] !== null) return malformed("have a result or an error, not both")
  return isFields(error) ? decodeRefusal(id, error) : malformed("have a method, a result or an error")
}

/** Decodes one line. Batches are refused: we send none, so none can be an answer. */
export const decodeLine = (line: string): Incoming => {
  const value = parseJson(line)
  if (value === undefined) return malformed("be JSON")
  if (!isFields(value)) return malformed("be a JSON object (batches are not supported)")
  if (value["jsonrpc"] !== "2.0") return malformed("have \"2.0\" as its jsonrpc")
  return Object.hasOwn(value, "method") ? decodeCall(value) : decodeAnswer(value)
}

/** The line of a request. Throws `TypeError` on params that are no JSON, as `JSON.stringify` does. */
export const encodeRequest = (id: number, method: string, params: object | undefined): string =>
  JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n"

/** The line of a notification. Throws as {@link encodeRequest} does. */
export const encodeNotification = (method: string, params: object | undefined): string =>
  JSON.stringify({ jsonrpc: "2.0", method, params }) + "\n"

/** MCP's line that cancels a request. */
export const encodeCancelled = (requestId: number, reason: string): string =>
  encodeNotification("notifications/cancelled", { requestId, reason })

/** The line that answers a server's request with "method not found". */
export const encodeMethodNotFound = (request: ServerRequest): string =>
  JSON.stringify({
    jsonrpc: "2.0",
    id: request.id,
    error: { code: -32601, message: `Method not found: ${request.method.slice(0, 100)}` }
  }) + "\n"

/** The line of an answer with an empty result. */
export const encodeEmptyAnswer = (request: ServerRequest): string =>
  JSON.stringify({ jsonrpc: "2.0", id: request.id, result: {} }) + "\n"
