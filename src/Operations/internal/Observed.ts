/**
 * What is remembered of the pools and the monitor of a program, and the answers to an operator that follow from it.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import { version } from "../../internal/version.ts"
import type { RegisteredPool } from "../../Pool/PoolRegistry.ts"
import type { Readiness, Snapshot } from "../Snapshot.ts"
import { poolNamed } from "./Controls.ts"
import * as History from "./History.ts"
import type { LeakRecord } from "./LeakRecord.ts"
import { exhaustedIn, monitorSnapshot, usedOf } from "./MonitorSnapshot.ts"
import type { Resolved } from "./OperationsOptions.ts"
import { PoolRecord, type Time } from "./PoolRecord.ts"
import { poolFacts, poolSnapshot, shownOf } from "./PoolSnapshot.ts"
import { type Monitor, monitorOf, type Sources } from "./PoolWatch.ts"
import { readinessOf } from "./Readiness.ts"

/** The most names of ended pools that are remembered. */
const mostNames = 1000

/** What is remembered of a program. */
export class Observed {
  readonly #sources: Sources
  readonly #options: Resolved
  readonly time: Time
  readonly #startedAt: number
  readonly #records = new WeakMap<RegisteredPool, PoolRecord>()
  readonly #names = new Set<string>()
  readonly #leaks = new WeakMap<Monitor, LeakRecord>()
  #history: History.History = []
  isRetiring = false

  constructor(sources: Sources, options: Resolved, time: Time) {
    this.#sources = sources
    this.#options = options
    this.time = time
    this.#startedAt = time.monotonic()
  }

  /** Begins to remember a pool. */
  record(pool: RegisteredPool): PoolRecord {
    const record = new PoolRecord(this.time)
    this.#records.set(pool, record)
    if (this.#names.size < mostNames) this.#names.add(pool.name)
    return record
  }

  /** The leaks of a monitor are recorded. */
  leaks(monitor: Monitor, record: LeakRecord): void {
    this.#leaks.set(monitor, record)
  }

  isAlive(pool: RegisteredPool): boolean {
    for (const other of this.#sources.pools.all) if (other === pool) return true
    return false
  }

  /** Adds the present figures to the history. */
  readonly remember: Effect.Effect<void> = Effect.suspend(() => {
    const pools = new Map<string, History.PoolPoint>()
    for (const { core, name } of this.#sources.pools.all) {
      const { active, waiting } = core.summary()
      pools.set(name, { active, waiting })
    }
    const monitor = monitorOf(this.#sources)
    const resources = monitor === undefined ? Effect.succeed({}) : Effect.map(monitor.usage, usedOf)
    return Effect.map(resources, (resources) => {
      this.#history = History.remember(this.#history, { pools, resources })
    })
  })

  /** Whether the program is ready. Nothing is borrowed and nothing is dialed for it. */
  readiness(given: ReadonlyArray<string> = []): Effect.Effect<Readiness> {
    return Effect.suspend(() => {
      const monitor = monitorOf(this.#sources)
      const exhausted = monitor === undefined ? Effect.undefined : Effect.map(monitor.usage, exhaustedIn)
      return Effect.map(exhausted, (exhausted) =>
        readinessOf({
          isRetiring: this.isRetiring,
          exhausted,
          required: this.#required(given),
          poolOf: (name) => {
            const pool = poolNamed(this.#sources.pools, name)
            return pool && poolFacts(pool, this.#records.get(pool))
          },
          wasThere: (name) => this.#names.has(name),
          age: this.time.monotonic() - this.#startedAt,
          stalledAfter: this.#options.stalledAfter
        }))
    })
  }

  snapshot(given: ReadonlyArray<string> = []): Effect.Effect<Snapshot> {
    const { isRetiring } = this
    return Effect.gen({ self: this }, function*() {
      const readiness = yield* this.readiness(given)
      const monitor = monitorOf(this.#sources)
      const shown = monitor && (yield* monitorSnapshot(monitor, this.#leaks.get(monitor)))
      const at = this.time.now()
      const required = this.#required(given)
      const pools = Array.from(this.#sources.pools.all)
      const most = shownOf(pools.length)
      return {
        version: 1 as const,
        at,
        process: {
          pid: process.pid,
          uptime: Math.round(process.uptime() * 1000),
          library: version,
          runtime: `node ${process.version}`
        },
        isRetiring,
        readiness,
        ...(shown === undefined ? {} : { monitor: shown }),
        pools: pools.map((pool) =>
          poolSnapshot({ pool, record: this.#records.get(pool), isRequired: required.has(pool.name), most, at })
        ),
        history: History.curvesOf(this.#history)
      }
    })
  }

  #required(given: ReadonlyArray<string>): ReadonlySet<string> {
    return new Set([...this.#options.required, ...given])
  }
}

/** Starts to remember a program, and its history, until the scope ends. */
export const observe = (sources: Sources, options: Resolved): Effect.Effect<Observed, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const observed = new Observed(sources, options, {
      now: () => clock.currentTimeMillisUnsafe(),
      monotonic: () => monotonicMillis(clock)
    })
    yield* observed.remember.pipe(
      Effect.andThen(sleepUnref(History.interval)),
      Effect.forever,
      Effect.forkScoped({ startImmediately: true })
    )
    return observed
  })
