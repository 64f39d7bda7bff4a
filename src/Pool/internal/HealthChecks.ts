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

  /** Resets a connection that its last borrower has returned. */
  reset(connection: PooledConnection<K, A>): void {
    this.#store.keepRoom(connection)
    this.#env.outbox.push({ _tag: "Check", connection, probe: "Reset" })
  }

  /** An idle connection has passed its check. */
  passed(connection: PooledConnection<K, A>): void {
    connection.provenAt = this.#env.clock.now()
    if (connection.check === "KeepAlive") this.#store.endCheck(connection)
  }

  /** Checks the connections that have been idle for `keepalive`. Returns when the next check is due. */
  checkIdle(now: number): number {
    const { hasCheck, settings } = this.#env
    if (!hasCheck || settings.keepalive === Infinity) return Infinity
    const idle = this.#store.idle()
    for (const connection of idle) {
      if (connection.state !== "Idle" || now < this.#store.checkAt(connection)) continue
      // A connection that is too old is closed instead of checked. Otherwise its check would stay due.
      if (this.#store.isFresh(connection, now)) this.#check(connection)
      else this.#store.retireStale(connection, now)
    }
    return nextSweep(idle, (connection) => this.#store.checkAt(connection), now)
  }

  /** Checks an idle connection, which is not leased during the check. */
  #check(connection: PooledConnection<K, A>): void {
    this.#store.beginCheck(connection)
    this.#env.outbox.push({ _tag: "Check", connection, probe: "KeepAlive" })
  }
}

/** The failure of a hook. */
export interface HookFailure {
  readonly error: unknown
}

/** Runs a hook on a connection to the endpoint with this label. */
export type Hook<A> = (connection: A, label: string, onBehalf: OnBehalf) => Effect.Effect<HookFailure | undefined>

/** The shortest time between two reports of one hook and endpoint, in milliseconds. */
const interval = 60_000

/** The most endpoints whose reports are remembered. Keys may come from outside the program. */
const mostRemembered = 256

/** Reports failures of hooks, which close connections and are seen by no borrower. `now` returns a time in milliseconds. */
export class HookReports {
  readonly #title: string
  readonly #now: () => number
  /** When each pair of a hook and an endpoint was last reported, the oldest report first. */
  readonly #last = new Map<string, number>()

  constructor(title: string, now: () => number) {
    this.#title = title
    this.#now = now
  }

  report(name: string, label: string, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#isDue(`${name} ${label}`)
        ? report(
          `${this.#title}: hook ${name} has failed on a connection to ${label}, which is closed; further failures there are ` +
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
  /** How log lines name the pool. */
  readonly title: string
  readonly connectTimeout: Duration.Duration
  readonly context: Context.Context<R>
  readonly reports: HookReports
}

/** Runs the effect of a hook or a check for at most `connectTimeout`. */
const bounded = <E, R>(effect: Effect.Effect<void, E, R>, { connectTimeout, context }: HookEnvironment<R>) =>
  Effect.provideContext(supervised(effect, { within: connectTimeout, patience: Duration.zero }), context)

/** Makes a probe of an effect. The probe is `false` if the effect fails, dies or takes too long. */
export const probeOf = <A, E, R>(
  what: string,
  probe: ((connection: A) => Effect.Effect<void, E, R>) | undefined,
  environment: HookEnvironment<R>
): Probe<A> | undefined =>
  probe && ((connection, _, onBehalf) => {
    const run = onBehalf(reportDefects(environment.title, what)(Effect.suspend(() => probe(connection))))
    return Effect.map(bounded(run, environment), (exit) => exit !== undefined && Exit.isSuccess(exit))
  })

/** Makes a hook that reports its failures, or `undefined` if the pool has no such hook. */
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

/** The value of `aliveIn` of a connection whose next borrower has to let the event loop turn first. */
const unheard = -1

/** After this time without a returned connection, in milliseconds, the event loop may have been blocked or asleep. */
const stall = 5

/** A connection that dies within this time after an answer, in milliseconds, was ended by the server together with the answer. */
const together = 20

/**
 * How many leases have to find their connection alive, a turn after an answer, before its endpoint is trusted again. A server that
 * ends each connection after some hundreds of answers must not become trusted in between.
 */
const doubts = 10_000

const isTurning = <K, A>(lease: Lease<K, A> | undefined): boolean => lease !== undefined && lease.turn !== "None"

/**
 * Decides which connections may have died before the pool has noticed it.
 *
 * **Details**
 *
 * When a connection ends, the kernel notices it first. The event loop reads it from the kernel, and the connector's `closed` and
 * `isReusable` report it to the pool. A connection that was returned in the same step or millisecond needs no further report. Any
 * other connection may be dead although nothing was reported, so its next borrower lets the event loop turn before it uses the
 * connection.
 */
export class Liveness<K, A> {
  readonly #hasNews: boolean
  #activeAt = 0
  #stalledIn = unheard

  /** `hasNews`: the connector can report that a connection has died. Otherwise a turn of the event loop reveals nothing. */
  constructor(hasNews: boolean) {
    this.#hasNews = hasNews
  }

  /** Whether a connection that is leased at `now` may have died before the event loop has reported it. */
  isUnseen({ aliveIn, leases, provenAt, state }: PooledConnection<K, A>, now: number): boolean {
    if (!this.#hasNews) return false
    if (state === "Idle") return aliveIn === unheard || provenAt !== now
    if (aliveIn === unheard || leases.length === 0) return aliveIn === unheard
    // If the last borrower of a shared connection waits for a turn, so does the next one, which must not overtake it.
    return isTurning(leases.at(-1)) || aliveIn !== loopTurns.last && this.#isStalled(now)
  }

  /** A connection has just been opened. */
  opened(connection: PooledConnection<K, A>): void {
    if (this.#hasNews) connection.aliveIn = loopTurns.note()
  }

  /** A borrower returns a connection that it has used. */
  returned(connection: PooledConnection<K, A>, succeeded: boolean, now: number): void {
    connection.provenAt = now
    if (!this.#hasNews) return
    if (succeeded) connection.answers++
    const isStalled = this.#isStalled(now)
    this.#activeAt = now
    connection.aliveIn = succeeded && !isStalled && connection.owner.doubt === 0 ? loopTurns.note() : unheard
  }

  /**
   * A borrower returns a connection before its turn of the event loop is over. So the next borrower has to wait for a turn as well.
   */
  leftUnheard(connection: PooledConnection<K, A>): void {
    connection.aliveIn = unheard
  }

  /**
   * For how many milliseconds, besides a turn, a borrower has to wait before it uses a connection. A busy server may send the end
   * of a connection some time after its last answer. If it has ended another connection after the same number of answers, the
   * borrower waits for that end.
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
 * The number of immediates for which a borrower waits. The first may run in the turn in which it was scheduled. Before the second,
 * the loop has read the data that the kernel had. Before the third, it has also read the end of a connection that followed such
 * data, as when a database shuts down.
 */
const turns = 3

/** Resumes borrowers when the event loop has turned since they began to wait. Those that begin in one turn share its immediates. */
export class TurnWaits<K, A> {
  readonly #env: Environment<K, A>
  readonly #resumeQueue: ResumeQueue<K, A>
  readonly #liveness: Liveness<K, A>
  readonly #store: ConnectionStore<K, A>
  /** The borrowers that have begun to wait since the last immediate. */
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

  /** Resumes a borrow when the event loop has turned. */
  add(lease: Lease<K, A>): undefined {
    lease.turn = "UnderWay"
    if (this.#batch === undefined) this.#begin()
    this.#batch?.push(lease)
    if (lease.connection !== undefined && isGone(lease.connection)) this.wake(lease)
  }

  /**
   * Whether a borrower may use its connection, which might have died before the event loop has reported it. Otherwise the borrower
   * waits: for a turn if that is due, or in its queue if the connection has died or must not be used for another reason.
   */
  heard(lease: Lease<K, A>): boolean {
    const { connection } = lease
    if (lease.turn === "Due") return false
    lease.turn = "None"
    if (connection === undefined || isGone(connection) || !this.#store.isFit(connection)) return false
    this.#liveness.heard(connection)
    return true
  }

  /** Resumes a borrow that waits for a turn, before that turn is over. */
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
      // An interrupted borrow has no connection any more. A borrow that was resumed before may wait for another connection now.
      if (lease.connection !== undefined && lease.resume === resume) this.wake(lease)
    }
    const hold = connection === undefined ? 0 : this.#liveness.holdOf(connection, this.#env.clock.now())
    // The timers of a turn run before its data is read, so that an end which has come meanwhile is not known yet.
    if (hold > 0) this.#env.later(() => this.#after(turns, wake), hold)
    else wake()
  }
}
