/**
 * Forms as bodies of requests, on every runtime.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"

type RequestOptions = Undici.Dispatcher.RequestOptions<unknown>

const isForm = (body: RequestOptions["body"]): body is Undici.FormData =>
  typeof body === "object" && body !== null && Symbol.toStringTag in body && body[Symbol.toStringTag] === "FormData"

/**
 * The request with a form of undici's own class, which is the only one that undici sends. On Bun, `NodeHttpClient` makes a form of the
 * class of Bun.
 */
export const withOwnForm = (undici: typeof Undici, request: RequestOptions): RequestOptions => {
  const { body } = request
  if (!isForm(body)) return request
  const form: Iterable<[name: string, value: unknown]> = body
  if (form instanceof undici.FormData) return request
  const own = new undici.FormData()
  for (const [name, value] of form) own.append(name, value)
  return { ...request, body: own }
}
