/**
 * The figures of the last two minutes, for the small curves of a status page.
 *
 * @since 0.1.0
 */
import type { Resource } from "../../Monitor/Alert.ts"

/** The number of moments that are remembered. */
export const length = 60

/** The time between two moments, in milliseconds. */
export const interval = 2000

/** The most pools whose figures are remembered. */
const mostPools = 50

export interface PoolPoint {
  readonly active: number
  readonly waiting: number
}

/** The figures of one moment. A resource whose use is unknown is `undefined`. */
export interface Moment {
  readonly pools: ReadonlyMap<string, PoolPoint>
  readonly resources: Readonly<Partial<Record<Resource, number | undefined>>>
}

/** The moments, the oldest first: at most {@link length}. */
export type History = ReadonlyArray<Moment>

/** The history after one more moment. */
export const remember = (history: History, moment: Moment): History => [...history.slice(1 - length), moment]

/** The history as curves that all have the same length. A pool or a resource that was not there has the given value. */
export const curvesOf = (history: History) => {
  const last = history.at(-1)
  const missing = Array.from({ length: length - history.length }, () => undefined)
  const moments: ReadonlyArray<Moment | undefined> = [...missing, ...history]
  const pools = [...last?.pools.keys() ?? []].slice(0, mostPools)
  // Only the resources of a monitor have a curve.
  const resources = (["descriptors", "memory", "connections"] as const).filter((name) =>
    last !== undefined && name in last.resources
  )
  return {
    interval,
    length,
    pools: Object.fromEntries(pools.map((name) => [name, {
      active: moments.map((moment) => moment?.pools.get(name)?.active ?? 0),
      waiting: moments.map((moment) => moment?.pools.get(name)?.waiting ?? 0)
    }])),
    resources: Object.fromEntries(
      resources.map((name) => [name, moments.map((moment) => moment?.resources[name] ?? null)])
    )
  }
}
