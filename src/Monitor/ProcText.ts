/**
 * What the text of the kernel's small files says, as pure functions: any text at all gives a reading.
 *
 * @since 0.1.0
 */
import * as Reading from "./Reading.ts"

/**
 * From here on a limit is none: the kernel writes the largest number that it can count to, which differs with the width of
 * the field and the size of a page (2^63 less a page, 2^63 - 1, 2^64 - 1), and nothing has 2^60 bytes or descriptors.
 */
const beyondAnyLimit = 2 ** 60

const words: ReadonlySet<string> = new Set(["max", "unlimited", "infinity"])

const digits = /^\d+$/

/** A whole number that is written in digits, and nothing else; `undefined` for any other text. */
const wholeOf = (text: string | number | undefined): number | undefined => {
  if (typeof text === "number") return Number.isFinite(text) && text >= 0 ? text : undefined
  return text !== undefined && digits.test(text) ? Number(text) : undefined
}

/**
 * The reading of a limit: `max`, `unlimited` and numbers that no limit can be are `Unlimited`; what is no whole number, or
 * below `least`, is `Unknown`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const limitReading = (
  text: string | number | undefined,
  now: number,
  source: string,
  least: number = 0
): Reading.Reading => {
  const word = typeof text === "string" ? text.trim() : text
  if (typeof word === "string" && words.has(word)) return Reading.unlimited(source)
  const value = wholeOf(word)
  if (value === undefined || value < least) return Reading.unknown("Unsupported", source)
  return value >= beyondAnyLimit ? Reading.unlimited(source) : Reading.known(value, now, source)
}

/**
 * The reading of a count or an amount: what is no whole number, below `least` or beyond anything there is, is `Unknown`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const amountReading = (
  text: string | number | undefined,
  now: number,
  source: string,
  least: number = 0
): Reading.Reading => {
  const value = wholeOf(typeof text === "string" ? text.trim() : text)
  return value === undefined || value < least || value >= beyondAnyLimit
    ? Reading.unknown("Unsupported", source)
    : Reading.known(value, now, source)
}

/** What follows the beginning of a line, up to its end; `undefined` where no line begins so. */
const lineAfter = (text: string, beginning: string): string | undefined => {
  const before = text.startsWith(beginning) ? 0 : text.indexOf(`\n${beginning}`) + 1
  if (before === 0 && !text.startsWith(beginning)) return undefined
  const [from, end] = [before + beginning.length, text.indexOf("\n", before)]
  return text.slice(from, end < 0 ? undefined : end)
}

/**
 * The soft limit that a line of `/proc/self/limits` gives, as it is written there.
 *
 * @category parsing
 * @since 0.1.0
 */
export const softLimitOf = (text: string, name: "Max open files" | "Max processes"): string | undefined =>
  lineAfter(text, name)?.trim().split(/\s+/, 1)[0]

/**
 * The value of a key in a file of lines `key value`, such as `memory.stat`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const valueOf = (text: string, key: string): number | undefined => wholeOf(lineAfter(text, `${key} `)?.trim())

const isPageCount = (pages: number | undefined): pages is number =>
  pages !== undefined && pages > 0 && pages < beyondAnyLimit

/**
 * The pages that are resident, from `/proc/self/statm`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const residentPages = (text: string): number | undefined => {
  const pages = wholeOf(text.split(" ", 2)[1])
  return isPageCount(pages) ? pages : undefined
}

/**
 * The pages that are resident and that the kernel cannot drop, from `/proc/self/statm`: without those that are the contents of
 * files, such as the program itself.
 *
 * @category parsing
 * @since 0.1.0
 */
export const privatePages = (text: string): number | undefined => {
  const [, resident, shared] = text.split(" ", 3).map(wholeOf)
  const pages = resident === undefined || shared === undefined ? undefined : resident - shared
  return isPageCount(resident) && isPageCount(pages) ? pages : undefined
}

/**
 * The TCP sockets that a `sockstat` or `sockstat6` file counts as in use.
 *
 * @category parsing
 * @since 0.1.0
 */
export const socketsOf = (text: string): number | undefined => wholeOf(/^TCP6?: inuse (\S+)/m.exec(text)?.[1])

/**
 * The pressure of the last 10 seconds as a share, 0 to 1, from a file of pressure stall information.
 *
 * @category parsing
 * @since 0.1.0
 */
export const pressureReading = (text: string, now: number, source: string): Reading.Reading => {
  const percent = /^some avg10=(\d{1,3}(?:\.\d+)?)\s/m.exec(text)?.[1]
  const share = Number(percent) / 100
  return percent !== undefined && share <= 1
    ? Reading.known(share, now, source)
    : Reading.unknown("Unsupported", source)
}

/**
 * The process ids of a `children` file.
 *
 * @category parsing
 * @since 0.1.0
 */
export const childrenOf = (text: string): ReadonlyArray<number> =>
  text.split(/\s+/).flatMap((word) => {
    const pid = wholeOf(word)
    return pid !== undefined && pid > 0 && pid < beyondAnyLimit ? [pid] : []
  })

/**
 * What the monitor needs of a `/proc/PID/stat` file.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessStat {
  readonly pid: number
  /** The name of the program, at most 15 characters. */
  readonly command: string
  /** One letter: `R` running, `S` sleeping, `Z` ended and not waited for. */
  readonly state: string
  readonly parent: number
  readonly threads: number
  /** When the process began, in hundredths of a second since the system's start. With the pid it names one process. */
  readonly start: number
}

/**
 * Reads a `/proc/PID/stat` file. The name of the program may hold spaces and brackets, so it ends at the last one.
 *
 * @category parsing
 * @since 0.1.0
 */
export const statOf = (text: string): ProcessStat | undefined => {
  const open = text.indexOf(" (")
  const close = text.lastIndexOf(") ")
  if (open < 0 || close < open) return undefined
  const fields = text.slice(close + 2).trim().split(" ")
  const [pid, parent, threads, start] = [text.slice(0, open), fields[1], fields[17], fields[19]].map(wholeOf)
  const state = fields[0]
  if (pid === undefined || parent === undefined || threads === undefined || start === undefined) return undefined
  if (state === undefined || !/^[A-Za-z]$/.test(state)) return undefined
  return { pid, command: text.slice(open + 2, close), state, parent, threads, start }
}
