/**
 * What a monitor tells of its own accord: a level that was crossed, a recovery, a limit that is coming near.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { safeMessage } from "../internal/SafeText.ts"
import type { Level } from "./Usage.ts"

/**
 * What has a level. Memory is in bytes, the others are counts.
 *
 * @category models
 * @since 0.1.0
 */
export type Resource = "descriptors" | "memory" | "connections"

/**
 * A place in the program and how many connections it has open.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpeningSite {
  readonly site: string
  readonly open: number
}

/**
 * One figure at the moment of an alert. What cannot be read is `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AlertFigures {
  readonly resource: Resource
  /** Wall-clock time in milliseconds since 1970. */
  readonly at: number
  /** What counts against the limit, without what is reserved. */
  readonly used: number | undefined
  /** The code that the count itself met: nothing is left. */
  readonly code: "EMFILE" | "ENFILE" | undefined
  /** What is claimed by openings that are under way; descriptors only, 0 for the others. */
  readonly reserved: number
  /** `Infinity` where there is none. */
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
 * A figure has reached a worse level. It is told once, however long the level lasts.
 *
 * @category models
 * @since 0.1.0
 */
export class Raised extends Data.TaggedClass("Raised")<
  AlertFigures & {
    /** The level that it has now. */
    readonly level: Level
    /** The level that it had. */
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
 * A figure has fallen to a better level, and stayed there for long enough to believe it.
 *
 * @category models
 * @since 0.1.0
 */
export class Recovered extends Data.TaggedClass("Recovered")<
  AlertFigures & {
    /** The level that it has now. */
    readonly level: Level
    /** The level that it had. */
    readonly from: Level
    /** The most that was in use while it was above the level that it has now, with what was reserved. */
    readonly peak: number | undefined
    /** How long it was above the level that it has now. */
    readonly duration: Duration.Duration
  }
> {
  get message(): string {
    const { duration, from, level, peak, resource } = this
    return safeMessage(
      `${resource}: ${from} -> ${level}, ${stock(this)}; peak ${shown(resource, peak)}, above ${level} for ${
        Duration.format(Duration.seconds(Math.round(Duration.toSeconds(duration))))
      }`
    )
  }
}

/**
 * A figure will reach its limit soon if it goes on growing as it does. It is told before the level is `Critical`, and once.
 *
 * @category models
 * @since 0.1.0
 */
export class Forecast extends Data.TaggedClass("Forecast")<
  AlertFigures & {
    /** The level that it has now. */
    readonly level: Level
    /** How much it grows in a second. */
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
 * What a monitor tells of its own accord. Each has a `message` for a log.
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
 */
export type Alert = Raised | Recovered | Forecast
