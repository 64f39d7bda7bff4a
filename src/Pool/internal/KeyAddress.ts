/**
 * The network address in a key of a pool, for spans, metrics and inspection.
 *
 * @since 0.1.0
 */
import { safeText } from "../../internal/SafeText.ts"

/** The address of a server. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The longest name of a host in DNS. */
const mostHost = 253

const inKey = (key: object): Address | undefined => {
  if (!("host" in key && "port" in key)) return undefined
  const { host, port } = key
  const isAddress = typeof host === "string" && host !== "" && typeof port === "number" && Number.isInteger(port)
  return isAddress ? { host: safeText(host, mostHost), port } : undefined
}

/** The address in a key: that of a TCP `Endpoint`, or of any other object with a `host` and a `port`. */
export const addressOf = (key: unknown): Address | undefined => {
  if (typeof key !== "object" || key === null) return undefined
  try {
    return inKey(key)
  } catch {
    // A field throws.
    return undefined
  }
}
