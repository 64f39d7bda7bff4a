/**
 * Numbers as a reader sees them.
 */

/** A time of less than a minute has one decimal, so that a wait of half a second is not shown as 0 or 1. */
export const duration = (millis: number): string => {
  if (millis < 1000) return `${Math.round(millis)} ms`
  if (millis < 59_950) return `${(millis / 1000).toFixed(1)} s`
  const seconds = Math.round(millis / 1000)
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60
  ]
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${minutes} min`
  return `${minutes} min ${seconds % 60} s`
}

const units = ["B", "kB", "MB", "GB", "TB"]

const bytes = (size: number): string => {
  const power = Math.min(units.length - 1, size < 1 ? 0 : Math.floor(Math.log10(size) / 3))
  const scaled = size / 1000 ** power
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[power]}`
}

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 })

/** A count, with its thousands apart. */
export const count = (value: number): string => grouped.format(value)

/** A figure of a resource in its unit. */
export const figure = (value: number, unit: "count" | "bytes"): string => unit === "bytes" ? bytes(value) : count(value)

/** `1 borrower`, `2 borrowers`. */
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`

// Logs have 24 hours, and a time is compared with them.
const clockTime = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23"
})
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" })

/** The time of day, and the date if it was another day than `now`. */
export const time = (at: number, now: number): string =>
  Math.abs(now - at) < 12 * 3_600_000 ? clockTime.format(at) : dateTime.format(at)

/** A call site without the folders that all call sites of a program have: `…/src/Orders.ts:41:18`. */
export const shortSite = (site: string): string =>
  site.replace(/(?:file:\/\/)?\/(?:[^/\s()]+\/)+(?=(?:[^/\s()]+\/){2}[^/\s()]+:\d+:\d+)/, "…/")

/** `failedAttempts` and `died_idle` as words. */
export const words = (name: string): string =>
  name.replaceAll("_", " ").replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase()
