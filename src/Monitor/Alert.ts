/**
 * The alerts of a monitor: a level has risen, a figure has recovered, or a limit is near.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import { measuredSeconds } from "../internal/MeasuredTime.ts"
import { safeMessage } from "../internal/SafeText.ts"
import type { Level } from "./Usage.ts"

/**
 * A figure that has a level. Memory is in bytes, the others are counts.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Resource = "descriptors" | "memory" | "connections"

/**
 * The figures that have a level.
 *
 * @category constants
 * @since 0.1.0
 */
export const resources: ReadonlyArray<Resource> = ["descriptors", "memory", "connections"]

/**
 * A record with the result of a function for each figure that has a level.
 *
 * @category constructors
 * @since 0.1.0
 */
export const forEachResource = <A>(f: (resource: Resource) => A): Readonly<Record<Resource, A>> => ({
  descriptors: f("descriptors"),
  memory: f("memory"),
  connections: f("connections")
})

/**
 * A place in the program and how many connections it has open.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface OpeningSite {
  readonly site: string
  readonly open: number
}

/**
 * One figure at the moment of an alert. Values that cannot be read are `undefined`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface AlertFigures {
  readonly resource: Resource
  /** Wall-clock time in milliseconds since 1970. */
  readonly at: number
  /** The usage that counts against the limit, without reservations. */
  readonly used: number | undefined
  /** The code with which the count failed. It means that no descriptor is left. */
  readonly code: "EMFILE" | "ENFILE" | undefined
  /** Descriptors that are reserved for openings under way; 0 for the other figures. */
  readonly reserved: number
  /** `Infinity` without a limit. */
  readonly limit: number | undefined
}

const percent = (part: number, whole: number): string => `${Math.floor(part / whole * 1000) / 10} %`

const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`

const shown = (resource: Resource, value: number | undefined): string => {
  if (value === undefined) return "an unknown number"
  if (value === Infinity) return "no limit"
  return resource === "memory" ? mebibytes(value) : String(value)
}

const share = ({ limit, reserved, used }: AlertFigures): string =>
  used === undefined || limit === undefined || !(limit > 0 && limit < Infinity)
    ? ""
    : ` (${percent(used + reserved, limit)})`

const stock = (figures: AlertFigures): string => {
  const { code, limit, reserved, resource, used } = figures
  const claims = reserved > 0 ? ` + ${reserved} reserved` : ""
  const count = code === undefined ? `${shown(resource, used)} used` : `${code} while counting,`
  return `${count}${claims} of ${shown(resource, limit)}${share(figures)}`
}

const openers = (sites: ReadonlyArray<OpeningSite>): string =>
  sites.length === 0 ? "" : `; open from ${sites.map(({ open, site }) => `${site} (${open})`).join(", ")}`

/**
 * A figure has reached a worse level. There is one such alert for each rise, however long the level lasts.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Raised extends Data.TaggedClass("Raised")<
  AlertFigures & {
    /** The new level. */
    readonly level: Level
    /** The old level. */
    readonly from: Level
    /** The places that have most connections open, the first one most. */
    readonly sites: ReadonlyArray<OpeningSite>
  }
> {
  get message(): string {
    return safeMessage(
      `${this.resource}: ${this.from} -> ${this.level}, ${stock(this)}${openers(this.sites)}`
    )
  }
}

/**
 * A figure has been at a better level for the recovery time.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Recovered extends Data.TaggedClass("Recovered")<
  AlertFigures & {
    /** The new level. */
    readonly level: Level
    /** The old level. */
    readonly from: Level
    /** The highest usage, reservations included, while it was above the new level. */
    readonly peak: number | undefined
    /** How long it was above the new level. */
    readonly duration: Duration.Duration
  }
> {
  get message(): string {
    const { duration, from, level, peak, resource } = this
    return safeMessage(
      `${resource}: ${from} -> ${level}, ${stock(this)}; peak ${shown(resource, peak)}, above ${level} for ${
        measuredSeconds(duration)
      }`
    )
  }
}

/**
 * A figure will soon reach its limit if it continues to grow like this. The alert comes before the level is `Critical`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Forecast extends Data.TaggedClass("Forecast")<
  AlertFigures & {
    /** The new level. */
    readonly level: Level
    /** Its growth per second. */
    readonly slope: number
    /** Seconds until it reaches the limit at this rate. */
    readonly secondsToLimit: number
    /** The places that have most connections open, the first one most. */
    readonly sites: ReadonlyArray<OpeningSite>
  }
> {
  get message(): string {
    const { level, resource, secondsToLimit, sites, slope } = this
    const rate = resource === "memory" ? mebibytes(slope) : String(Math.round(slope * 10) / 10)
    return safeMessage(
      `${resource}: at its limit in ${Math.round(secondsToLimit)} s at this rate (${rate} more each second), ` +
        `${level}, ${stock(this)}${openers(sites)}`
    )
  }
}

/**
 * An alert of a monitor. Each has a `message` for a log.
 *
 * **Example** (The text of an alert)
 *
 * ```ts
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const alert = new ResourceMonitor.Raised({
 *   resource: "descriptors",
 *   at: 0,
 *   used: 880,
 *   code: undefined,
 *   reserved: 30,
 *   limit: 1000,
 *   level: "Critical",
 *   from: "Warning",
 *   sites: [{ site: "loadUsers (users.ts:12:5)", open: 640 }]
 * })
 *
 * alert.message // => "descriptors: Warning -> Critical, 880 used + 30 reserved of 1000 (91 %); open from loadUsers (users.ts:12:5) (640)"
 * ```
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Alert = Raised | Recovered | Forecast
