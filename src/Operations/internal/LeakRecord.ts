/**
 * Counts the leaks of a monitor by the place in the program that has borrowed.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { safeText } from "../../internal/SafeText.ts"
import type { Leak } from "../../Monitor/Leak.ts"
import type { ResourceMonitor } from "../../Monitor/Service.ts"
import type { Leak as Shown } from "../Snapshot.ts"

/** The most places that are remembered. Names of spans may come from peers. */
const mostPlaces = 50

/** The most places that are shown. */
const mostShown = 20

const verdicts = { Held: "held", Lost: "lost", LeftOpen: "left_open" } as const

interface Counted {
  readonly shown: Omit<typeof Shown.Type, "count" | "lastAt" | "longest">
  readonly count: number
  readonly lastAt: number
  readonly longest: number
}

/** The leaks of one monitor. */
export class LeakRecord {
  /** By verdict, pool, endpoint, place and span: the one whose last report is the oldest comes first. */
  readonly #all = new Map<string, Counted>()

  add(leak: Leak, at: number): void {
    // A lease that came back was no leak. Descriptors that are not this library's have no place.
    if (leak._tag === "Returned" || leak._tag === "ForeignGrowth") return
    const { age, label, pool, site, span } = leak
    const id = [leak._tag, pool, label, site, span].join(" ")
    const before = this.#all.get(id)
    this.#all.delete(id)
    this.#all.set(id, {
      shown: before?.shown ?? {
        label: safeText(label, 200),
        verdict: verdicts[leak._tag],
        ...(pool === undefined ? {} : { pool: safeText(pool, 200) }),
        ...(site === undefined ? {} : { site: safeText(site, 300) }),
        ...(span === undefined ? {} : { span: safeText(span, 200) })
      },
      count: (before?.count ?? 0) + 1,
      lastAt: at,
      longest: Math.max(before?.longest ?? 0, Math.round(Duration.toMillis(age)))
    })
    if (this.#all.size <= mostPlaces) return
    for (const oldest of this.#all.keys()) {
      this.#all.delete(oldest)
      return
    }
  }

  /** The leaks by place, the last one first. */
  get all(): ReadonlyArray<typeof Shown.Type> {
    return [...this.#all.values()].reverse().slice(0, mostShown).map(({ count, lastAt, longest, shown }) => ({
      ...shown,
      count,
      lastAt,
      longest
    }))
  }
}

/** Records the leaks of a monitor until the scope ends. Those that it has reported before are recorded with the present time. */
export const recordLeaks = (
  { leaks, recentLeaks }: ResourceMonitor["Service"],
  record: LeakRecord
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const add = (leak: Leak) => Effect.map(Clock.currentTimeMillis, (now) => record.add(leak, now))
    yield* Effect.forEach(yield* recentLeaks(), add, { discard: true })
    yield* Effect.forkScoped(Stream.runForEach(leaks, add), { startImmediately: true })
  })
