/**
 * Where a limit comes from, as its reading says it and as a refusal puts it into words.
 *
 * @since 0.1.0
 */
import type { Resource } from "./Alert.ts"

const options = "options"

/** The source of a limit that an option of the monitor sets, with what the program has it from if it says so. */
export const configuredSource = (origin?: string): string =>
  origin === undefined ? options : `${options}, from ${origin}`

/** Whether a limit with this source is one that an option sets. */
export const isConfigured = (source: string): boolean => source.startsWith(options)

const optionOf: Record<Resource, string> = {
  descriptors: "maxDescriptors",
  memory: "maxMemory",
  connections: "maxConnections"
}

const own: Record<Resource, string> = {
  descriptors: "the process's soft limit of open files (ulimit -n)",
  memory: "the container's",
  connections: "its own"
}

/** A limit as a refusal has it. */
export interface RefusingLimit {
  readonly resource: Resource
  readonly limit: number
  /** The `source` of the limit's reading; empty where nothing is known of it. */
  readonly limitSource: string
  /** What is off the limit already because it stays free. */
  readonly reserve: number
}

/** Says which option sets the limit, and where its value comes from. Nothing is said of a limit that a test has set. */
export const describe = ({ limit, limitSource, reserve, resource }: RefusingLimit): string => {
  if (limitSource === "" || limitSource === "test") return ""
  const option = `option ${optionOf[resource]} of ResourceMonitor`
  if (isConfigured(limitSource)) return `; the limit is ${option}${limitSource.slice(options.length)}`
  const value = reserve === 0 ? "" : `, ${limit + reserve} less ${reserve} that stay free`
  return `; the limit is ${own[resource]}, from ${limitSource}${value}; ${option} can lower it`
}
