/**
 * Texts that a program may get from peers and users, and must not pass on as they are.
 */

const secret = "hunter2hunter2"

/** Each contains the secret in a form in which programs carry it. */
const secrets: ReadonlyArray<string> = [
  `postgres://joe:${secret}@db:5432/orders`,
  `redis://:${secret}@cache`,
  `joe:${secret}@db:3306`,
  `https://example.com/?api_key=${secret}`,
  `https://example.com/?sig=${secret}`,
  `GET /login?user=joe&password=${secret}`,
  `Authorization: Bearer ${secret}`,
  `{"password":"${secret}"}`,
  `IDENTIFIED BY '${secret}'`,
  `AUTH joe ${secret}`
]

const others: ReadonlyArray<string> = [
  "<script>alert(1)</script>\"'`",
  "first\nsecond\r\nERROR forged=\"line\"",
  "\u001b[31mred\u001b]0;title\u0007",
  "nul\u0000, delete\u007f, \u0085 and \u2028",
  "x".repeat(10_000)
]

/** Markup, quotes, newlines, escape sequences, 10 kB, and secrets. */
export const hostileTexts: ReadonlyArray<string> = [...secrets, ...others, [...secrets, ...others].join("\n")]

/** Why a text must not be printed; `undefined` if it may. Markup is the business of the page that shows it. */
export const unsafe = (text: string): string | undefined => {
  if (text.includes(secret)) return "contains the secret"
  if (/\p{Cc}|\u2028/u.test(text)) return "contains a control character"
  return text.length > 2100 ? `has ${text.length} characters` : undefined
}

/** Every text in a value, at any depth. */
export const textsIn = (value: unknown, seen: ReadonlyArray<unknown> = []): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  if (typeof value !== "object" || value === null || seen.includes(value)) return []
  const within = [...seen, value]
  const inside = value instanceof Map ? [...value].flat() : [...Object.entries(value).flat()]
  const own = value instanceof Error ? [value.message] : "message" in value ? [value.message] : []
  return [...inside, ...own].flatMap((inner) => textsIn(inner, within))
}
