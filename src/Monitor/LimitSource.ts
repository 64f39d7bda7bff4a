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

/** How there is more room. */
const remedy = ({ headroom, limitSource, reserve, resource }: RefusingLimit): string => {
  const more = isConfigured(limitSource)
    ? "raise it"
    : resource === "descriptors"
    ? "raise ulimit -n"
    : "raise that limit"
  return resource === "descriptors" && headroom + reserve > 0 ? `${more}, or lower headroom` : more
}

/** A limit as a refusal has it. */
export interface RefusingLimit {
  readonly resource: Resource
  /** The `source` of the limit's reading; empty where nothing is known of it. */
  readonly limitSource: string
  /** What stays free, besides {@link reserve}. */
  readonly headroom: number
  /** What is off the limit already because it stays free. */
  readonly reserve: number
}

/** Says what sets the limit, where its value comes from, and how there is more room. Nothing is said of a limit that a test has set. */
export const describe = (limit: RefusingLimit): string => {
  const { limitSource, resource } = limit
  if (limitSource === "" || limitSource === "test") return ""
  const what = isConfigured(limitSource)
    ? `option ${optionOf[resource]} of ResourceMonitor${limitSource.slice(options.length)}`
    : `${own[resource]}, from ${limitSource}`
  return `; the limit is ${what}: ${remedy(limit)}`
}
