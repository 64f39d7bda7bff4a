/**
 * Decodes and encodes JSON-RPC 2.0 messages, one per line. Decoding never throws.
 *
 * @since 0.1.0
 */

/** A message of the peer, decoded from one line. */
export type Incoming = Answer | Refusal | UnattributedRefusal | Notification | ServerRequest | Malformed

/** The result of a request of this client. */
export interface Answer {
  readonly _tag: "Answer"
  /** A whole number of at least 1. */
  readonly id: number
  readonly result: unknown
}

/** The error with which the server answered a request of this client. */
export interface Refusal {
  readonly _tag: "Refusal"
  /** A whole number of at least 1. */
  readonly id: number
  readonly code: number
  readonly text: string
  readonly data: unknown
}

/** An error that belongs to no request: the server could not read a message of this client. */
export interface UnattributedRefusal {
  readonly _tag: "UnattributedRefusal"
  readonly code: number
  readonly text: string
  readonly data: unknown
}

/** A message without an answer. */
export interface Notification {
  readonly _tag: "Notification"
  readonly method: string
  readonly params: unknown
}

/** A request of the server to this client. */
export interface ServerRequest {
  readonly _tag: "ServerRequest"
  readonly id: string | number
  readonly method: string
}

/** The line is no valid message. `rule` completes the sentence "it must ...". */
export interface Malformed {
  readonly _tag: "Malformed"
  readonly rule: string
}

/** The result for a line that breaks this rule. */
export const malformed = (rule: string): Malformed => ({ _tag: "Malformed", rule })

type Fields = Readonly<Record<string, unknown>>

/** Whether a value from JSON is an object with fields. */
export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * Parses JSON; `undefined`, which is not a JSON value, means that the text is no JSON. A `Schema` would take two to three times
 * as long for each message, and the caller does not know the shape of the results.
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
  // A larger number was rounded when it was parsed, and might equal the id of another request.
  return Math.abs(id) <= Number.MAX_SAFE_INTEGER
    ? { _tag: "ServerRequest", id, method }
    : malformed("have an id that a double can hold exactly")
}

const decimal = /^[1-9][0-9]{0,15}$/

/** The id of a request of this client. Some servers return ids as strings. */
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
  // Some servers send both, as in version 1 of the protocol, and one of them is null.
  if (hasResult && (error === undefined || error === null)) {
    const asked = requestId(id)
    return asked === undefined ? wasAsked : { _tag: "Answer", id: asked, result: fields["result"] }
  }
  if (hasResult && fields["result"] !== null) return malformed("have a result or an error, not both")
  return isFields(error) ? decodeRefusal(id, error) : malformed("have a method, a result or an error")
}

/** Decodes one line. Batches are refused: this client sends none, so none can be an answer. */
export const decodeLine = (line: string): Incoming => {
  const value = parseJson(line)
  if (value === undefined) return malformed("be JSON")
  if (!isFields(value)) return malformed("be a JSON object (batches are not supported)")
  if (value["jsonrpc"] !== "2.0") return malformed("have \"2.0\" as its jsonrpc")
  return Object.hasOwn(value, "method") ? decodeCall(value) : decodeAnswer(value)
}

/** The line of a request. Throws `TypeError` if `JSON.stringify` cannot convert the params. */
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
