/**
 * Looks at a pool when the health of an endpoint may have changed, and logs outages.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { scopeHooks } from "../../internal/ScopeHooks.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import type { Inspection } from "../../Pool/PoolInspection.ts"
import type { RegisteredPool } from "../../Pool/PoolRegistry.ts"
import { writeLine } from "./LogLine.ts"
import * as OutageLog from "./OutageLog.ts"
import { type Address, logLineOf } from "./OutageText.ts"
import type { PoolRecord } from "./PoolRecord.ts"

/** The health of endpoints may change many times in a millisecond. The shortest time between two looks, in milliseconds. */
const shortest = 100

/** The longest time between two looks at a pool of which an endpoint is not healthy, because not every change is an event. */
const longest = 500

/** The longest time between two looks at any other pool. An endpoint does not go down without an event. */
const longestIfHealthy = 5000

/**
 * The time between two looks is this many times the time of a look, so that a pool of many endpoints costs no more. It is at most
 * {@link longestPause}, so that its outages are logged soon enough.
 */
const share = 50
const longestPause = 800

/** How many endpoints are looked at, at least. */
const fewest = 100

const impairedIn = ({ endpointsByHealth }: Inspection): number =>
  endpointsByHealth.Degraded + endpointsByHealth.Unavailable

const badness = { Healthy: 0, Degraded: 1, Unavailable: 2 } as const

/** Endpoints that are not equal may have the same text: the worst one counts. */
const impairedOf = (endpoints: Inspection["endpoints"]): ReadonlyArray<OutageLog.Impaired> => {
  const found = new Map<string, OutageLog.Impaired>()
  for (const { counts, health, label, lastFailure } of endpoints) {
    if (health === "Healthy") continue
    const other = found.get(label)
    found.set(label, {
      label,
      health: other !== undefined && badness[other.health] > badness[health] ? other.health : health,
      waiting: counts.waiting + (other?.waiting ?? 0),
      cause: lastFailure?.cause ?? other?.cause
    })
  }
  return [...found.values()]
}

/** Watches one pool. All functions are synchronous, so that a look sees one moment. */
class OutageWatch {
  readonly #pool: RegisteredPool
  readonly #record: PoolRecord
  #state = OutageLog.initial
  #most = fewest
  /** The addresses of the endpoints that are impaired, or were a short time ago. */
  readonly #addresses = new Map<string, Address>()
  #lookedAt = -Infinity
  /** Whether every endpoint was healthy at the last look, and nothing has to be logged later. */
  #isQuiet = false

  constructor(pool: RegisteredPool, record: PoolRecord) {
    this.#pool = pool
    this.#record = record
  }

  look(at: number): ReadonlyArray<OutageLog.Line> {
    const record = this.#record
    this.#lookedAt = at
    const { endpoints } = this.#inspect()
    const impaired = impairedOf(endpoints)
    for (const { address, health, label } of endpoints) if (health !== "Healthy") this.#addresses.set(label, address)
    let known: ReadonlyMap<string, unknown> | undefined
    const [state, lines] = OutageLog.step(this.#state, {
      at,
      impaired,
      failedAt: record.failedAt,
      // The list of all endpoints is made only if an outage is over.
      knows: (label) => (known ??= this.#pool.core.stats().endpoints).has(label)
    })
    this.#state = state
    this.#isQuiet = impaired.length === 0 && OutageLog.isQuiet(state)
    const labels = new Set(impaired.map(({ label }) => label))
    record.forgetHealthy((label) => labels.has(label))
    for (const label of this.#addresses.keys()) {
      if (!labels.has(label) && !state.endpoints.has(label)) this.#addresses.delete(label)
    }
    return lines
  }

  /** Notes whether borrows have got connections, and returns whether a look is due although there was no event. */
  isDue(at: number): boolean {
    this.#record.sinceProgress()
    return !this.#isQuiet || at - this.#lookedAt >= longestIfHealthy
  }

  end(at: number): ReadonlyArray<OutageLog.Line> {
    return OutageLog.end(this.#state, at)
  }

  addressOf(label: string): Address {
    return this.#addresses.get(label)
  }

  /** Every endpoint that is not healthy, and maybe others. */
  #inspect(): Inspection {
    let inspection = this.#pool.core.inspect(this.#most)
    const impaired = impairedIn(inspection)
    if (impaired > this.#most) inspection = this.#pool.core.inspect(this.#most = impaired * 2)
    else if (impaired * 4 < this.#most) this.#most = Math.max(fewest, impaired * 2)
    return inspection
  }
}

const isFailure = (cause: Cause.Cause<never>): boolean => !Cause.hasInterruptsOnly(cause)

/** A look that dies must not end the log of the pool. */
const failed = ({ name }: RegisteredPool) => (cause: Cause.Cause<never>): Effect.Effect<void> =>
  Effect.andThen(report(`Operations: a look at pool ${name} has failed`, cause), sleepUnref(longestIfHealthy))

/** How a pool is watched. */
interface WatchOptions {
  /** Whether the pool goes on. Otherwise the end of the scope is the end of the pool. */
  readonly isAlive: () => boolean
  /** Whether outages are logged. */
  readonly logs: boolean
}

/** Records the events of a pool, and logs its outages, until the scope ends. */
export const watchPool = (
  pool: RegisteredPool,
  record: PoolRecord,
  { isAlive, logs }: WatchOptions
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = () => monotonicMillis(clock)
    const watch = new OutageWatch(pool, record)
    const changed = Latch.makeUnsafe(true)
    const write = (lines: ReadonlyArray<OutageLog.Line>) =>
      Effect.forEach(
        logs ? lines : [],
        (line) => writeLine(logLineOf(pool.name, line, (label) => watch.addressOf(label))),
        { discard: true }
      )
    const look = Effect.suspend(() => {
      const begin = now()
      if (!watch.isDue(begin) && !changed.isOpen()) return Effect.void
      changed.closeUnsafe()
      const lines = watch.look(begin)
      const pause = Math.ceil(Math.min(Math.max(shortest, (now() - begin) * share), longestPause))
      return Effect.andThen(write(lines), sleepUnref(pause))
    })
    yield* Effect.addFinalizer(() => Effect.suspend(() => isAlive() ? Effect.void : write(watch.end(now()))))
    let stop: () => void
    yield* scopeHooks(
      () => stop = pool.core.observers.add(record.observer(() => void changed.openUnsafe())),
      () => stop()
    )
    yield* Effect.raceFirst(changed.await, sleepUnref(longest)).pipe(
      Effect.andThen(Effect.catchCauseIf(look, isFailure, failed(pool))),
      Effect.forever,
      Effect.forkScoped({ startImmediately: true })
    )
  })
