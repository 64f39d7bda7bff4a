/**
 * Text that is safe to print: without secrets, without characters that act on a terminal or a log, and of bounded length.
 *
 * Texts of peers and drivers are untrusted: they may contain a password, an escape sequence or a forged log line.
 *
 * @since 0.1.0
 */
import { cut, printable } from "./Printable.ts"

/** Replaces a secret. */
export const mask = "***"

/** The names of fields and parameters that hold a secret. */
const secretName =
  "pass(?:word|wd|phrase)?|pwd|secret(?:[-_]?(?:access)?[-_]?key)?|(?:access|refresh|id|session|auth)?_?token|" +
  "api[-_]?key|authorization|credentials?|private[-_]?key|ssl_?password|signature"

const secretKey = new RegExp(`^(?:\\w*[-_])?(?:${secretName})$|Password$|Secret$|Token$|ApiKey$`, "i")

const schemeOfUrl = "[a-z][a-z0-9+.-]{0,30}:\\/\\/"

/** One URL, up to the next one in the same word. */
const url = new RegExp(`\\b(${schemeOfUrl})((?:(?!\\b${schemeOfUrl})\\S)+)`, "gi")

/** The part before the host. A password that was not encoded may contain a slash, a quote or a second @. */
const credentialsOfUrl = /^(?:[^/?#@]*:.*|[^/?#]*)@/

/** The quote that ends a quoted URL. A password may contain quotes too, so only a quote at the end of a word counts. */
const quoteAfterUrl = /["'](?=[,:;\]})]|$)/

const maskUrl = (scheme: string, rest: string): string => {
  const end = quoteAfterUrl.exec(rest)?.index ?? rest.length
  return scheme + rest.slice(0, end).replace(credentialsOfUrl, `${mask}@`) + rest.slice(end)
}

// Each quantifier is bounded or the last one in its pattern, so that the time for any text is at most linear in its length.
const patterns: ReadonlyArray<readonly [pattern: RegExp, replacement: string]> = [
  // A user and a password before a host, without a scheme.
  [/(?<![\w/]|\w\/)(\/\/)?[\w.-]{1,64}:[^\s@/"']{1,256}@(?=[\w[*])/g, `$1${mask}@`],
  // Headers whose value may have several words.
  [/\b((?:authorization|cookie)\s{0,4}:\s{0,4})[^\r\n"']+/gi, `$1${mask}`],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/g, `$1 ${mask}`],
  [/(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^]*?(?=-----END|$)/g, `$1${mask}`],
  [/\b((?:IDENTIFIED\s{1,4}BY|PASSWORD)\s{1,4})(?:'[^']*'?|"[^"]*"?)/gi, `$1${mask}`],
  [
    // A quoted value may contain quotes after a backslash, may be cut off, or may be a part of a quoted text itself. MySQL's
    // `using password: YES` or `NO` is no secret.
    new RegExp(
      `(\\b\\w{0,32}(?:${secretName})\\\\{0,3}["']?\\s{0,4}(?:=>|[=:]{1,2})\\s{0,4})` +
        `(?!(?:YES|NO)\\))(?:\\\\{1,3}"[^"]*"?|"(?:[^"\\\\]|\\\\.)*"?|'(?:[^'\\\\]|\\\\.)*'?|[^\\s"',;&}]+)`,
      "gi"
    ),
    `$1${mask}`
  ],
  [/([?&]sig=)[^\s"'&]+/gi, `$1${mask}`],
  // The arguments of Redis' AUTH: a password, or a user and a password. In its protocol each follows its length.
  [/\b(AUTH2?)"?(?:(?:[ \t]+|\s+\$\d{1,9}\s+)[^\s,;<]+){1,2}/g, `$1 ${mask}`],
  [/(["']AUTH["']\s{0,4},\s{0,4})["'][^"']*(?:["']\s{0,4},\s{0,4}["'][^"']*)?["']?/gi, `$1${mask}`],
  // Redis repeats the arguments of a command that it does not know, such as those of HELLO, which has a password.
  [/(\bwith args beginning with:)[^\r\n]{0,400}['`]/gi, `$1 ${mask}`],
  [/\b((?:requirepass|masterauth)"?\s{1,4})\S+/gi, `$1${mask}`]
]

/**
 * Removes what looks like a secret: credentials and signatures in URLs, values of parameters such as `password`, headers that
 * authorize, private keys, and the passwords in SQL and in commands of Redis.
 */
export const maskSecrets = (text: string): string =>
  patterns.reduce(
    (masked, [pattern, replacement]) => masked.replace(pattern, replacement),
    text.replace(url, (_, scheme: string, rest: string) => maskUrl(scheme, rest))
  )

/**
 * Most names and addresses, which no pattern would change. The first search of a process with all patterns takes longer than making a pool. A
 * name of a secret before a colon is left to the patterns.
 */
const plain = new RegExp(`^(?!.*(?:${secretName}|cookie):)[\\w.[\\]/-]*(?::\\d*)?$`, "i")

/** The longest label of a key. */
const mostLabel = 200

/** A longer text is cut before the search for secrets, which bounds its time. */
const mostSearched = 16_384

/**
 * An untrusted text in the form for messages: secrets are removed first, then unprintable characters are escaped, then the text
 * is cut to `most` characters. If it were cut first, a secret could be split and not be recognized.
 */
export const safeText = (text: string, most = 1000): string =>
  text.length <= mostLabel && plain.test(text)
    ? cut(text, most)
    : cut(printable(maskSecrets(text.slice(0, mostSearched))), most)

/** A message is longer than what it quotes. */
const mostMessage = 2000

/** The message of an error or a report, safe to print. */
export const safeMessage = (text: string): string => safeText(text, mostMessage)

/** Whether `String` gives `[object Object]` for a value, or fails. */
const isTextless = (value: unknown): value is object =>
  typeof value === "object" && value !== null &&
  (!("toString" in value) || value.toString === Object.prototype.toString) &&
  Object.prototype.toString.call(value) === "[object Object]"

/** The text of a value that is not an error. For an object without a text of its own this is its fields. */
const textOf = (value: unknown): string => {
  if (isTextless(value)) return JSON.stringify(fieldsOf(value, [value]))
  return Array.isArray(value) && value.some(isTextless) ? JSON.stringify(itemsOf(value, [value])) : String(value)
}

/** The text of an error or of any other value. For an aggregate without a text, it is that of its errors. */
const rawTextOf = (error: unknown, depth = 0): string => {
  if (!(error instanceof Error)) return textOf(error)
  // OpenSSL ends its texts with a newline.
  if (error.message !== "") return error.message.trimEnd()
  return error instanceof AggregateError && depth < 3
    ? error.errors.slice(0, 10).map((inner) => rawTextOf(inner, depth + 1)).join(", ")
    : error.name
}

/** The text of an error, safe to print. It never throws, even if the error's own `message` does. */
export const errorText = (error: unknown, most?: number): string => {
  try {
    return safeText(rawTextOf(error), most)
  } catch {
    return "an error without a text"
  }
}

const rawLabelOf = (key: unknown): string => {
  try {
    return textOf(key)
  } catch {
    // A field or a method throws.
    return Object.prototype.toString.call(key)
  }
}

/** The text of a pool's key or of an endpoint in errors, logs, metrics and spans. */
export const labelOf = (key: unknown): string => safeLabel(rawLabelOf(key))

/** The text of an endpoint, or the name of a pool, that may come from code that has not passed {@link labelOf}. */
export const safeLabel = (text: string): string => safeText(text, mostLabel)

/** Redis commands whose arguments are secrets. */
const secretCommand = /^(?:auth|hello|acl|config|migrate)$/i

const mostDepth = 8
const mostItems = 50

/** The own fields of an object, presented. `args` of a command such as `AUTH` are secrets. */
const fieldsOf = (value: object, seen: ReadonlyArray<object>): Record<string, unknown> => {
  const fields: Record<string, unknown> = {}
  const isSecretCommand = "name" in value && typeof value.name === "string" && secretCommand.test(value.name)
  for (const [key, field] of Object.entries(value).slice(0, mostItems)) {
    const isSecret = field !== undefined && (secretKey.test(key) || isSecretCommand && key === "args")
    fields[safeText(key, 100)] = isSecret ? mask : present(field, seen)
  }
  return fields
}

/** The items of an array, presented. What follows the name of a command such as `AUTH` is secret. */
const itemsOf = (value: ReadonlyArray<unknown>, seen: ReadonlyArray<object>): ReadonlyArray<unknown> => {
  const [name] = value
  if (typeof name === "string" && secretCommand.test(name) && value.length > 1) return [safeText(name), mask]
  return value.slice(0, mostItems).map((item) => present(item, seen))
}

const presentError = (error: Error, seen: ReadonlyArray<object>): Record<string, unknown> => ({
  name: safeText(error.name, 100),
  message: errorText(error),
  ...fieldsOf(error, seen),
  // Node's own errors hold their cause, and an aggregate its errors, in fields that are not enumerable.
  ...(error.cause === undefined ? {} : { cause: present(error.cause, seen) }),
  ...(error instanceof AggregateError ? { errors: present(error.errors, seen) } : {})
})

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

const presentObject = (value: object, seen: ReadonlyArray<object>): unknown => {
  if (value instanceof Error) return presentError(value, seen)
  if (Array.isArray(value)) return itemsOf(value, seen)
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  if ("toJSON" in value && typeof value.toJSON === "function") return present(value.toJSON(), seen)
  // Only the name of the class is shown for other objects, such as a socket or a client: their fields do not help in a log, and
  // may contain secrets.
  if (!isPlain(value) && !("_tag" in value)) return `[${safeText(value.constructor.name, 100)}]`
  return fieldsOf(value, seen)
}

const present = (value: unknown, seen: ReadonlyArray<object>): unknown => {
  if (typeof value === "string") return safeText(value)
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "function" || typeof value === "symbol") return `[${typeof value}]`
  if (typeof value !== "object" || value === null) return value
  if (seen.includes(value) || seen.length >= mostDepth) return "..."
  try {
    return presentObject(value, [...seen, value])
  } catch {
    return "a value that cannot be shown"
  }
}

/** The value of a field or an option with this name, for JSON and for a message: without secrets. */
export const presentValue = (name: string, value: unknown): unknown =>
  value !== undefined && secretKey.test(name) ? mask : present(value, [])

/** The lines of a stack, without the header, which holds the message that the error had when it was made. */
export const framesOf = (stack: string | undefined): string =>
  stack?.split("\n").filter((line) => /^\s+at /.test(line)).map((line) => `\n${line}`).join("") ?? ""

/** An error as a logger may print it: the same name, text, frames and causes, safe to print. */
export const safeError = (error: unknown, depth = 0): unknown => {
  if (!(error instanceof Error)) return present(error, [])
  const cause = error.cause === undefined || depth >= mostDepth ? {} : { cause: safeError(error.cause, depth + 1) }
  const shown = new Error(errorText(error, mostMessage), cause)
  shown.name = safeText(error.name, 100)
  shown.stack = `${shown.name}: ${shown.message}${framesOf(error.stack)}`
  return shown
}

/** The fields of an error for JSON and for inspection: bounded in depth and length, without secrets. */
export const presentFields = (error: Error): Record<string, unknown> => fieldsOf(error, [error])
