/**
 * How a pool knows that a connection works: checks of idle connections, hooks, and whether it may have died unnoticed.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { loopTurns } from "../../internal/LoopTurns.ts"
import { supervised } from "../../internal/Timeout.ts"
import { report } from "../../internal/UnhandledLog.ts"
import { reportDefects } from "./CloseConnection.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import { nextSweep } from "./Expiry.ts"
import { type Environment, isGone, type Lease, type OnBehalf, type PooledConnection, type Probe } from "./PoolState.ts"
import type { ResumeQueue } from "./WaitQueue.ts"

/** Probes connections without borrowers: after their return (reset), and while they are idle (keep-alive). */
export class HealthChecks<K, A> {
  readonly #env: Environment<K, A>
  readonly #store: ConnectionStore<K, A>

  constructor(env: Environment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
  }

  /** Has a connection that a borrower has returned made ready for the next one. */
  reset(connection: PooledConnection<K, A>): void {
    this.#store.keepRoom(connection)
    this.#env.outbox.push({ _tag: "Check", connection, probe: "Reset" })
  }

  /** An idle connection has passed its check. */
  passed(connection: PooledConnection<K, A>): void {
    connection.provenAt = this.#env.clock.now()
    if (connection.check === "KeepAlive") this.#store.endCheck(connection)
  }

  /** Checks those that have been idle for long; returns when the next one is to be. */
  checkIdle(now: number): number {
    const { hasCheck, settings } = this.#env
    if (!hasCheck || settings.keepalive === Infinity) return Infinity
    const idle = this.#store.idle()
    for (const connection of idle) {
      if (connection.state !== "Idle" || now < this.#store.checkAt(connection)) continue
      // One that is too old to be leased is closed, not checked: left idle, it would be due for its check all the time.
      if (this.#store.isFresh(connection, now)) this.#check(connection)
      else this.#store.retireStale(connection)
    }
    return nextSweep(idle, (connection) => this.#store.checkAt(connection), now)
  }

  /** Checks an idle connection; it is not leased meanwhile. */
  #check(connection: PooledConnection<K, A>): void {
    this.#store.beginCheck(connection)
    this.#env.outbox.push({ _tag: "Check", connection, probe: "KeepAlive" })
  }
}

/** What a hook has failed with. */
export interface HookFailure {
  readonly error: unknown
}

/** Runs a hook on a connection to the endpoint with this label. */
export type Hook<A> = (connection: A, label: string, onBehalf: OnBehalf) => Effect.Effect<HookFailure | undefined>

/** The shortest time between two reports of one hook and endpoint, in milliseconds. */
const interval = 60_000

/** So many endpoints are remembered at most, because keys may come from outside. */
const mostRemembered = 256

/** Reports failures of hooks: no borrower sees them, and each costs a connection. `now` is a time in milliseconds. */
export class HookReports {
  readonly #now: () => number
  /** When each hook and endpoint was last reported, the longest ago first. */
  readonly #last = new Map<string, number>()

  constructor(now: () => number) {
    this.#now = now
  }

  report(name: string, label: string, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#isDue(`${name} ${label}`)
        ? report(
          `ConnectionPool: hook ${name} has failed on a connection to ${label}, which is closed; further failures there are ` +
            `not reported for ${Duration.format(Duration.millis(interval))}`,
          cause
        )
        : Effect.void
    )
  }

  #isDue(id: string): boolean {
    const now = this.#now()
    if (now - (this.#last.get(id) ?? -Infinity) < interval) return false
    this.#last.delete(id)
    this.#last.set(id, now)
    const [oldest] = this.#last.keys()
    if (this.#last.size > mostRemembered && oldest !== undefined) this.#last.delete(oldest)
    return true
  }
}

interface HookEnvironment<R> {
  readonly connectTimeout: Duration.Duration
  readonly context: Context.Context<R>
  readonly reports: HookReports
}

/** Runs what a hook or a check does, for at most `connectTimeout`. */
const bounded = <E, R>(effect: Effect.Effect<void, E, R>, { connectTimeout, context }: HookEnvironment<R>) =>
  Effect.provideContext(supervised(effect, { within: connectTimeout, patience: Duration.zero }), context)

/** Whether an effect on a connection succeeds in time, however it fails. */
export const probeOf = <A, E, R>(
  what: string,
  probe: ((connection: A) => Effect.Effect<void, E, R>) | undefined,
  environment: HookEnvironment<R>
): Probe<A> | undefined =>
  probe && ((connection, _, onBehalf) => {
    const run = onBehalf(reportDefects(what)(Effect.suspend(() => probe(connection))))
    return Effect.map(bounded(run, environment), (exit) => exit !== undefined && Exit.isSuccess(exit))
  })

/** A hook of a pool, if it has one. */
export const hookOf = <A, E, R>(
  name: string,
  hook: ((connection: A) => Effect.Effect<void, E, R>) | undefined,
  environment: HookEnvironment<R>
): Hook<A> | undefined =>
  hook && ((connection, label, onBehalf) => {
    const run = onBehalf(Effect.suspend(() => hook(connection)))
    return Effect.flatMap(bounded(run, environment), (exit) => {
      if (exit !== undefined && Exit.isSuccess(exit)) return Effect.undefined
      const cause: Cause.Cause<unknown> = exit?.cause ??
        Cause.fail(new Error(`it took longer than ${Duration.format(environment.connectTimeout)}`))
      return Effect.as(environment.reports.report(name, label, cause), { error: Cause.squash(cause) })
    })
  })

/** No turn: the connection has to be heard of before it is leased again. */
const unheard = -1

/** A pool that sees nothing for so long, in milliseconds, may have been kept from it: the loop has stalled, or slept. */
const stall = 5

/** A connection that dies so soon after an answer, in milliseconds, was ended together with it. */
const together = 20

/**
 * So many leases have to find a connection alive a turn after an answer before its endpoint is trusted again. A server that ends
 * each connection after some hundreds of answers must not be trusted in between.
 */
const doubts = 10_000

const isTurning = <K, A>(lease: Lease<K, A> | undefined): boolean => lease !== undefined && lease.turn !== "None"

/**
 * Knows which connections may have died unnoticed.
 *
 * **Details**
 *
 * The kernel learns first that a connection has ended. The event loop reports that, and the connector's `closed` and `isReusable`
 * pass it on. Between a return and the next lease in the same step or millisecond there is no time for a report. In all other cases a
 * connection may be dead although nothing says so, and its next borrower lets the event loop turn before it uses the connection.
 */
export class Liveness<K, A> {
  readonly #hasNews: boolean
  #activeAt = 0
  #stalledIn = unheard

  /** `hasNews`: the connector can say that a connection has died. Where it cannot, there is nothing to wait for. */
  constructor(hasNews: boolean) {
    this.#hasNews = hasNews
  }

  /** Whether a connection that is to be leased at `now` may have died unseen. */
  isUnseen({ aliveIn, leases, provenAt, state }: PooledConnection<K, A>, now: number): boolean {
    if (!this.#hasNews) return false
    if (state === "Idle") return aliveIn === unheard || provenAt !== now
    if (aliveIn === unheard || leases.length === 0) return aliveIn === unheard
    // What one of its borrowers waits to hear, the next has not heard either, and must not overtake it.
    return isTurning(leases.at(-1)) || aliveIn !== loopTurns.last && this.#isStalled(now)
  }

  /** A connection has just been opened. */
  opened(connection: PooledConnection<K, A>): void {
    if (this.#hasNews) connection.aliveIn = loopTurns.note()
  }

  /** A borrower gives a connection back that it went on with. */
  returned(connection: PooledConnection<K, A>, succeeded: boolean, now: number): void {
    connection.provenAt = now
    if (!this.#hasNews) return
    if (succeeded) connection.answers++
    const isStalled = this.#isStalled(now)
    this.#activeAt = now
    connection.aliveIn = succeeded && !isStalled && connection.owner.doubt === 0 ? loopTurns.note() : unheard
  }

  /** A borrower gives a connection back before it has heard of it. The next one gets it in the same step, and has to hear of it itself. */
  leftUnheard(connection: PooledConnection<K, A>): void {
    connection.aliveIn = unheard
  }

  /**
   * For how many milliseconds more than a turn a connection has to be heard of: the end that a server sends right after its answer
   * comes late where that server does not get the processor. Who has ended one after so many answers ends the next one as well.
   */
  holdOf({ answers, owner, provenAt }: PooledConnection<K, A>, now: number): number {
    return answers > 0 && answers === owner.endsAfter ? Math.max(together - (now - provenAt), 0) : 0
  }

  /** A connection was found alive. */
  heard({ answers, owner }: PooledConnection<K, A>): void {
    if (owner.doubt > 0) owner.doubt--
    if (answers === owner.endsAfter) owner.endsAfter = 0
  }

  /** A connection has died. */
  died({ answers, owner, provenAt }: PooledConnection<K, A>, now: number): void {
    if (answers === 0 || now - provenAt > together) return
    owner.doubt = doubts
    owner.endsAfter = answers
  }

  #isStalled(now: number): boolean {
    if (now - this.#activeAt < stall) return this.#stalledIn === loopTurns.last
    this.#stalledIn = loopTurns.note()
    return true
  }
}

/**
 * So often the loop turns. The first immediate may be part of the turn in which it was asked for; before the second the loop has
 * read what the kernel had; before the third it has read the end that follows a farewell, as of a database that shuts down.
 */
const turns = 3

/** Continues borrowers when the loop has turned since they came. Those that come in one turn share its immediates. */
export class TurnWaits<K, A> {
  readonly #env: Environment<K, A>
  readonly #resumeQueue: ResumeQueue<K, A>
  readonly #liveness: Liveness<K, A>
  readonly #store: ConnectionStore<K, A>
  /** Those that have come since the last immediate. */
  #batch: Array<Lease<K, A>> | undefined

  constructor(
    env: Environment<K, A>,
    resumeQueue: ResumeQueue<K, A>,
    liveness: Liveness<K, A>,
    store: ConnectionStore<K, A>
  ) {
    this.#env = env
    this.#resumeQueue = resumeQueue
    this.#liveness = liveness
    this.#store = store
  }

  /** Has a borrow go on when the event loop has turned. */
  add(lease: Lease<K, A>): undefined {
    lease.turn = "UnderWay"
    if (this.#batch === undefined) this.#begin()
    this.#batch?.push(lease)
    if (lease.connection !== undefined && isGone(lease.connection)) this.wake(lease)
  }

  /**
   * Whether a borrow can go on with its connection, which might have died unseen. Otherwise it waits: until the loop has turned if
   * it has not, and in its queue if its connection has died or must not be used for another reason.
   */
  heard(lease: Lease<K, A>): boolean {
    const { connection } = lease
    if (lease.turn === "Due") return false
    lease.turn = "None"
    if (connection === undefined || isGone(connection) || !this.#store.isFit(connection)) return false
    this.#liveness.heard(connection)
    return true
  }

  /** Has a borrower go on now: its connection is known to be dead. */
  wake(lease: Lease<K, A>): void {
    if (lease.turn !== "UnderWay") return
    lease.turn = "Over"
    this.#resumeQueue.add(lease, undefined)
  }

  #begin(): void {
    const batch: Array<Lease<K, A>> = []
    this.#batch = batch
    this.#env.nextTurn(() => {
      this.#batch = undefined
      const waits = batch.map((lease) => ({ lease, resume: lease.resume }))
      this.#after(turns - 1, () => waits.forEach((wait) => this.#end(wait)))
    })
  }

  #after(turns: number, act: () => void): void {
    this.#env.nextTurn(turns === 1 ? act : () => this.#after(turns - 1, act))
  }

  #end({ lease, resume }: Pick<Lease<K, A>, "resume"> & { readonly lease: Lease<K, A> }): void {
    const { connection } = lease
    const wake = () => {
      // One that was interrupted meanwhile has given its connection back; one that was woken may wait for another by now.
      if (lease.connection !== undefined && lease.resume === resume) this.wake(lease)
    }
    const hold = connection === undefined ? 0 : this.#liveness.holdOf(connection, this.#env.clock.now())
    if (hold > 0) this.#env.later(wake, hold)
    else wake()
  }
}
