/**
 * The wait that a server asks for, in milliseconds: `Retry-After` of HTTP, pushback and `RetryInfo` of gRPC.
 *
 * @since 0.1.0
 */
import {
  bytesOf,
  firstOf,
  isObject,
  quietly,
  read,
  readArray,
  readObject,
  readString
} from "../../internal/SafeRead.ts"

/** A header, from Node's object, `Headers`, `Map` or gRPC's `Metadata`. */
export const header = (headers: object | undefined, name: string): unknown => {
  if (headers === undefined) return undefined
  const get = read(headers, "get")
  return firstOf(
    typeof get === "function"
      ? quietly((): unknown => Reflect.apply(get, headers, [name]))
      : read(headers, name) ??
        quietly((): unknown => Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1])
  )
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" ? value.trim() : typeof value === "number" ? String(value) : undefined

const finite = (value: number): number | undefined => Number.isFinite(value) ? value : undefined

const amount = (value: string | undefined): number | undefined =>
  value !== undefined && /^\d+(\.\d+)?$/.test(value) ? finite(Number(value)) : undefined

/** A date of HTTP in milliseconds since 1970. HTTP has three forms of dates, of which one does not name its time zone, GMT. */
const date = (value: string | undefined): number | undefined =>
  value !== undefined && /^[A-Z][a-z]{2,8},? /.test(value)
    ? finite(Date.parse(value.endsWith(" GMT") ? value : `${value} GMT`))
    : undefined

/**
 * `Retry-After`, or `retry-after-ms` if there is one. From a date, the `Date` header of the same answer is subtracted, so
 * that a difference between the two clocks does not matter. Without that header, `now` is subtracted (milliseconds since 1970).
 * Without both, a date is ignored.
 */
export const retryAfter = (headers: object | undefined, now: number | undefined): number | undefined => {
  const millis = amount(text(header(headers, "retry-after-ms")))
  if (millis !== undefined) return millis
  const value = text(header(headers, "retry-after"))
  const seconds = amount(value)
  if (seconds !== undefined) return finite(seconds * 1000)
  const moment = date(value)
  const from = date(text(header(headers, "date"))) ?? now
  return moment === undefined || from === undefined ? undefined : finite(Math.max(0, moment - from))
}

/** A field of a message of protocol buffers: a number, or the bytes of a text or of a message. */
interface Field {
  readonly id: number
  readonly value: number | Uint8Array
}

/** The fields of a message, up to the first one that cannot be read. */
const fieldsOf = (bytes: Uint8Array): ReadonlyArray<Field> => {
  const fields: Array<Field> = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let factor = 1; at < bytes.length; factor *= 128) {
      const byte = bytes[at++] ?? 0
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
    return NaN
  }
  while (at < bytes.length) {
    const key = varint()
    const kind = key % 8
    const length = kind === 2 ? varint() : kind === 1 ? 8 : kind === 5 ? 4 : 0
    const value = kind === 0 ? varint() : bytes.subarray(at, at + length)
    at += length
    if (!(at <= bytes.length)) break
    fields.push({ id: Math.floor(key / 8), value })
  }
  return fields
}

const messageAt = (fields: ReadonlyArray<Field>, id: number): Uint8Array | undefined => {
  const value = fields.find((field) => field.id === id)?.value
  return value instanceof Uint8Array ? value : undefined
}

const numberAt = (fields: ReadonlyArray<Field>, id: number): number => {
  const value = fields.find((field) => field.id === id)?.value
  return typeof value === "number" ? value : 0
}

/** The delay of a `google.rpc.RetryInfo`; `undefined` if it is negative. A negative number is read as one of at least 2^63. */
const retryInfo = (bytes: Uint8Array): number | undefined => {
  const delay = messageAt(fieldsOf(bytes), 1)
  if (delay === undefined) return undefined
  const fields = fieldsOf(delay)
  const [seconds, nanos] = [numberAt(fields, 1), numberAt(fields, 2)]
  return seconds < 2 ** 53 && nanos < 1e9 ? seconds * 1000 + nanos / 1e6 : undefined
}

const isRetryInfo = (type: string): boolean => type.endsWith("google.rpc.RetryInfo")

/** The `RetryInfo` among the details of a `google.rpc.Status`, which gRPC sends in a trailer. */
const statusDetails = (bytes: Uint8Array): number | undefined => {
  for (const { id, value } of fieldsOf(bytes)) {
    if (id !== 3 || !(value instanceof Uint8Array)) continue
    const detail = fieldsOf(value)
    const type = new TextDecoder().decode(messageAt(detail, 1))
    const info = messageAt(detail, 2)
    if (isRetryInfo(type) && info !== undefined) return retryInfo(info)
  }
  return undefined
}

/** The `RetryInfo` among the details of an error of Connect, which has unpacked the status. */
const connectDetails = (node: object): number | undefined => {
  for (const detail of readArray(node, "details", 16)) {
    if (!isObject(detail) || !isRetryInfo(readString(detail, "type") ?? "")) continue
    const value = bytesOf(read(detail, "value"))
    if (value !== undefined) return retryInfo(value)
  }
  return undefined
}

/** The wait that a gRPC server asks for. With `stop` it asks for no retry at all. */
export const pushback = (node: object): { readonly retryAfter?: number | undefined; readonly stop: boolean } => {
  const metadata = readObject(node, "metadata")
  const asked = text(header(metadata, "grpc-retry-pushback-ms"))
  if (asked !== undefined) return { retryAfter: amount(asked), stop: amount(asked) === undefined }
  const details = bytesOf(header(metadata, "grpc-status-details-bin"))
  const info = details === undefined ? connectDetails(node) : statusDetails(details)
  return { retryAfter: info ?? retryAfter(metadata, undefined), stop: false }
}
