/**
 * Decides which outages of a pool's endpoints are logged, and when: a pure state machine for the endpoints of one pool.
 *
 * An endpoint is down from the look at which it is `Unavailable` until the look at which it is `Healthy`. `Degraded` changes nothing: an
 * endpoint that is only degraded has no line, and an endpoint that was down is not back before it has served a borrower.
 *
 * **Details**
 *
 * - An outage has two lines: one when it begins and one when it ends. The second one follows if the first one was logged.
 * - One more line follows if the outage becomes one of another kind (`OutageKind`) for {@link lasting} milliseconds, at most once a minute.
 * - An endpoint that flaps: of the outages of a minute, the first {@link mostOfEndpoint} are logged. The others are counted, and one line
 *   at the end of the minute has their number. An outage that is not over after {@link flapping} milliseconds is logged nevertheless.
 * - A pool of which many endpoints are down: at most {@link mostAtOnce} outages of one look and {@link mostOfPool} of one minute are
 *   logged one by one. One line has the number of the others, and one line says when all of them are over.
 *
 * @since 0.1.0
 */
import type { Health } from "../../Pool/PoolStats.ts"
import { type OutageKind, outageKindOf } from "./OutageKind.ts"

/** What has failed at an endpoint since it was `Healthy`. */
export interface Failed {
  /** Attempts to open a connection. */
  readonly attempts: number
  /** Borrowers that have got no connection. */
  readonly borrows: number
  /** The last error, if there was one. */
  readonly cause: unknown
}

/** An endpoint that is not `Healthy`. */
export interface Impaired {
  readonly label: string
  readonly health: Health
  readonly waiting: number
  /** The last error at the endpoint that the pool knows, also one of a request on a connection. */
  readonly cause: unknown
}

/** What is known of a pool at one moment. */
export interface Look {
  /** In milliseconds, on a clock that does not go back. */
  readonly at: number
  /** Every endpoint that is not `Healthy`. Those that need attention most come first. */
  readonly impaired: ReadonlyArray<Impaired>
  /** Whether the pool knows an endpoint. It forgets one that has not been used for a minute. */
  readonly knows: (label: string) => boolean
  readonly failedAt: (label: string) => Failed
}

/** Outages that were counted and not logged. Times are in milliseconds. */
export interface Omitted {
  readonly outages: number
  readonly downFor: number
  readonly attempts: number
  readonly borrows: number
}

/** A line of the log. Times are in milliseconds. */
export type Line =
  | {
    readonly _tag: "Down"
    readonly endpoint: string
    readonly waiting: number
    readonly failed: Failed
    readonly for: number
  }
  | {
    readonly _tag: "Changed"
    readonly endpoint: string
    readonly waiting: number
    readonly failed: Failed
    readonly for: number
  }
  | { readonly _tag: "Back"; readonly endpoint: string; readonly failed: Failed; readonly for: number }
  | { readonly _tag: "Forgotten"; readonly endpoint: string; readonly failed: Failed; readonly for: number }
  | {
    readonly _tag: "Flapped"
    readonly endpoint: string
    readonly omitted: Omitted
    readonly over: number
    readonly isDown: boolean
  }
  | {
    readonly _tag: "MoreDown"
    readonly endpoints: ReadonlyArray<string>
    readonly count: number
    readonly waiting: number
  }
  | { readonly _tag: "MoreBack"; readonly omitted: Omitted }
  | { readonly _tag: "Ended"; readonly endpoints: ReadonlyArray<string>; readonly count: number }

/** The most outages of one endpoint that are logged in a minute. */
export const mostOfEndpoint = 3

/** The most outages of one pool that are logged at one look, and in a minute. */
export const mostAtOnce = 10
export const mostOfPool = 30

/** An outage of an endpoint that flaps is logged after these milliseconds, if it is not over. */
export const flapping = 10_000

/** An outage has become one of another kind after these milliseconds. A server that restarts is refused, reset and silent in turn. */
export const lasting = 5000

const minute = 60_000

/** The first line with the number of further endpoints is logged after these milliseconds, so that it counts those that follow. */
const gathering = 1000

/** The most endpoints that one line names. */
const mostNamed = 5

type Omission = "Flapping" | "Crowd"

interface Outage {
  readonly since: number
  /** Why it was not logged. `undefined`: it was. */
  readonly omission: Omission | undefined
  /** The kind in the last line about it, and when that was. */
  readonly kind: OutageKind
  readonly loggedAt: number
  /** Since when it has been of another kind. */
  readonly changedAt: number | undefined
}

/** An endpoint that is down, or was in the last minute. */
interface Watched {
  readonly outage: Outage | undefined
  /** When the present minute began, and how many outages were logged in it. */
  readonly from: number
  readonly logged: number
  readonly omitted: Omitted
}

/** The endpoints whose outages are not logged one by one, because there are too many. */
interface Crowd {
  readonly since: number
  /** When a line has had their number. */
  readonly announcedAt: number | undefined
  /** The number in that line. */
  readonly announced: number
  /** The outages that are over. */
  readonly omitted: Omitted
}

/** What is remembered of a pool between two looks. */
export interface State {
  readonly endpoints: ReadonlyMap<string, Watched>
  readonly crowd: Crowd | undefined
  /** When the present minute of the pool began, and how many outages were logged in it. */
  readonly from: number
  readonly logged: number
}

export const initial: State = { endpoints: new Map(), crowd: undefined, from: 0, logged: 0 }

const noOmitted: Omitted = { outages: 0, downFor: 0, attempts: 0, borrows: 0 }

const added = (omitted: Omitted, downFor: number, { attempts, borrows }: Failed): Omitted => ({
  outages: omitted.outages + 1,
  downFor: omitted.downFor + downFor,
  attempts: omitted.attempts + attempts,
  borrows: omitted.borrows + borrows
})

/** The endpoints that are down. */
export const downIn = ({ endpoints }: State): ReadonlyArray<string> =>
  [...endpoints].filter(([, { outage }]) => outage !== undefined).map(([label]) => label)

/** Whether a state changes by time alone. */
export const isQuiet = ({ endpoints }: State): boolean => endpoints.size === 0

/** One look under construction. */
interface Step {
  readonly look: Look
  readonly endpoints: Map<string, Watched>
  readonly lines: Array<Line>
  crowd: Crowd | undefined
  from: number
  logged: number
  loggedNow: number
}

/** What has failed at an endpoint, with the last error if there is any. */
const failedAt = ({ look }: Step, { cause, label }: Impaired): Failed => {
  const failed = look.failedAt(label)
  return { ...failed, cause: cause ?? failed.cause }
}

const begun = (step: Step, endpoint: Impaired, before: Watched | undefined): Watched => {
  const { label, waiting } = endpoint
  const { at } = step.look
  const isNewMinute = before === undefined || at - before.from >= minute && before.omitted.outages === 0
  const { from, logged, omitted } = isNewMinute ? { from: at, logged: 0, omitted: noOmitted } : before
  const omission = logged >= mostOfEndpoint
    ? "Flapping"
    : step.loggedNow >= mostAtOnce || step.logged >= mostOfPool
    ? "Crowd"
    : undefined
  if (omission === "Crowd") {
    step.crowd ??= { since: at, announcedAt: undefined, announced: 0, omitted: noOmitted }
  }
  const failed = failedAt(step, endpoint)
  const outage: Outage = { since: at, omission, kind: outageKindOf(failed), loggedAt: at, changedAt: undefined }
  if (omission !== undefined) return { outage, from, logged, omitted }
  step.logged++
  step.loggedNow++
  step.lines.push({ _tag: "Down", endpoint: label, waiting, failed, for: 0 })
  return { outage, from, logged: logged + 1, omitted }
}

/** An outage that was logged goes on. It may have become one of another kind. */
const loggedGoesOn = (step: Step, endpoint: Impaired, watched: Watched, outage: Outage): Watched => {
  const { label, waiting } = endpoint
  const { at } = step.look
  const failed = failedAt(step, endpoint)
  const kind = outageKindOf(failed)
  const changedAt = kind === outage.kind ? undefined : outage.changedAt ?? at
  if (
    changedAt === undefined || at - changedAt < lasting ||
    outage.loggedAt > outage.since && at - outage.loggedAt < minute
  ) {
    return changedAt === outage.changedAt ? watched : { ...watched, outage: { ...outage, changedAt } }
  }
  step.lines.push({ _tag: "Changed", endpoint: label, waiting, failed, for: at - outage.since })
  return { ...watched, outage: { ...outage, kind, loggedAt: at, changedAt: undefined } }
}

/** An outage that goes on. If it was taken for flapping, it may be too long for that by now. */
const goesOn = (step: Step, endpoint: Impaired, watched: Watched, outage: Outage): Watched => {
  const { label, waiting } = endpoint
  const { at } = step.look
  const age = at - outage.since
  if (outage.omission === undefined) return loggedGoesOn(step, endpoint, watched, outage)
  if (outage.omission !== "Flapping" || age < flapping) return watched
  const failed = failedAt(step, endpoint)
  step.lines.push({ _tag: "Down", endpoint: label, waiting, failed, for: age })
  return { ...watched, outage: { ...outage, omission: undefined, kind: outageKindOf(failed), loggedAt: at } }
}

/** The endpoint is `Healthy`, or the pool has forgotten it. */
const ended = (step: Step, label: string, watched: Watched, { omission, since }: Outage): Watched => {
  const { look } = step
  const failed = look.failedAt(label)
  const downFor = look.at - since
  const after = { ...watched, outage: undefined }
  if (omission === undefined) {
    step.lines.push({ _tag: look.knows(label) ? "Back" : "Forgotten", endpoint: label, failed, for: downFor })
    return after
  }
  if (omission === "Flapping") return { ...after, omitted: added(watched.omitted, downFor, failed) }
  if (step.crowd !== undefined) {
    step.crowd = { ...step.crowd, omitted: added(step.crowd.omitted, downFor, failed) }
  }
  return after
}

/** The minute of an endpoint may be over. The result is `undefined` if nothing has to be remembered. */
const settled = (step: Step, label: string, watched: Watched): Watched | undefined => {
  const { at } = step.look
  const { from, omitted, outage } = watched
  if (at - from < minute) return watched
  if (omitted.outages === 0) return outage === undefined ? undefined : watched
  step.lines.push({ _tag: "Flapped", endpoint: label, omitted, over: at - from, isDown: outage !== undefined })
  // The endpoint flaps until a whole minute has had no outage that was left out.
  return { outage, from: at, logged: mostOfEndpoint, omitted: noOmitted }
}

const crowdedIn = ({ endpoints }: Pick<Step, "endpoints">): ReadonlyArray<string> =>
  [...endpoints].filter(([, { outage }]) => outage?.omission === "Crowd").map(([label]) => label)

/** The lines for the endpoints whose outages are not logged one by one. */
const summarized = (step: Step): void => {
  const { crowd, look: { at, impaired } } = step
  if (crowd === undefined) return
  const crowded = crowdedIn(step)
  if (crowded.length === 0) {
    step.crowd = undefined
    step.lines.push({ _tag: "MoreBack", omitted: crowd.omitted })
    return
  }
  const isDue = crowd.announcedAt === undefined ? at - crowd.since >= gathering : at - crowd.announcedAt >= minute
  if (!isDue || crowded.length === crowd.announced) return
  const among = new Set(crowded)
  const waiting = impaired.reduce((sum, one) => among.has(one.label) ? sum + one.waiting : sum, 0)
  step.crowd = { ...crowd, announcedAt: at, announced: crowded.length }
  step.lines.push({ _tag: "MoreDown", endpoints: crowded.slice(0, mostNamed), count: crowded.length, waiting })
}

/** Decides what is logged after a look at the pool. */
export const step = (state: State, look: Look): readonly [state: State, lines: ReadonlyArray<Line>] => {
  const isNewMinute = look.at - state.from >= minute
  const next: Step = {
    look,
    endpoints: new Map(state.endpoints),
    lines: [],
    crowd: state.crowd,
    from: isNewMinute ? look.at : state.from,
    logged: isNewMinute ? 0 : state.logged,
    loggedNow: 0
  }
  const seen = new Set<string>()
  for (const endpoint of look.impaired) {
    seen.add(endpoint.label)
    const watched = next.endpoints.get(endpoint.label)
    const outage = watched?.outage
    if (watched !== undefined && outage !== undefined) {
      next.endpoints.set(endpoint.label, goesOn(next, endpoint, watched, outage))
    } else if (endpoint.health === "Unavailable") {
      next.endpoints.set(endpoint.label, begun(next, endpoint, watched))
    }
  }
  for (const [label, watched] of next.endpoints) {
    const { outage } = watched
    const after = outage === undefined || seen.has(label) ? watched : ended(next, label, watched, outage)
    const kept = settled(next, label, after)
    if (kept === undefined) next.endpoints.delete(label)
    else next.endpoints.set(label, kept)
  }
  summarized(next)
  const { crowd, endpoints, from, lines, logged } = next
  return [{ crowd, endpoints, from, logged }, lines]
}

/** The lines at the end of the pool: the outages that were not logged, and the endpoints that are down and will not come back. */
export const end = (state: State, at: number): ReadonlyArray<Line> => {
  const lines: Array<Line> = []
  for (const [label, { from, omitted, outage }] of state.endpoints) {
    if (omitted.outages === 0) continue
    lines.push({ _tag: "Flapped", endpoint: label, omitted, over: at - from, isDown: outage !== undefined })
  }
  const down = downIn(state)
  if (down.length > 0) lines.push({ _tag: "Ended", endpoints: down.slice(0, mostNamed), count: down.length })
  return lines
}
