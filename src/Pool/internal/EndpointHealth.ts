/**
 * The health of each endpoint: what has gone wrong since its last success, and whether it is silent.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import { Alarm } from "../../internal/Timer.ts"
import * as Failure from "../../Retry/Failure.ts"
import { answerIn } from "../../Retry/ServerAnswers.ts"
import type { PoolError } from "../PoolError.ts"
import type { Health } from "../PoolStats.ts"
import { hasFreeSlot } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { afterSetback, type Evidence, healthOf, isLocal, noSetbacks, redialDelay } from "./DialPolicy.ts"
import {
  type CoreEnvironment,
  isGone,
  type Lease,
  type PooledConnection,
  type PoolEndpoint,
  slotsOf
} from "./PoolState.ts"
import * as Silence from "./Silence.ts"

/** The evidence of a failed first use. An error that `Failure.classify` does not know may be an answer of the server. */
const evidenceOf = (cause: Cause.Cause<unknown>): Evidence =>
  Cause.hasFails(cause) && Failure.classify(Cause.squash(cause)).class !== "Fatal" ? "Failure" : "Unclear"

/** The connections of an endpoint that borrowers use or have given up. */
const inUse = <K, A>({ closing, connections, idle }: PoolEndpoint<K, A>): number => connections.length - idle + closing

/**
 * Whether a connection shows that its endpoint is there. One that a borrower has had since before the first setback may be dead, or
 * its server may be silent: this is known only when the borrower returns it.
 */
const isConnected = <K, A>(connection: PooledConnection<K, A>, now: number): boolean => {
  if (isGone(connection)) return false
  const { leases, owner: { setbacks, uses }, provenAt } = connection
  if (leases.length === 0 || provenAt > setbacks.since) return true
  const patience = Silence.patienceOf(uses, 1)
  return leases.some(({ borrowedAt, isStanding }) => isStanding || now - borrowedAt < patience)
}

/** Keeps the setbacks of each endpoint since its last success, and decides its health by them. */
export class EndpointHealth<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #store: ConnectionStore<K, A>
  /** Endpoints whose health changes by itself when the next attempt is due. */
  readonly #changing = new Set<PoolEndpoint<K, A>>()
  readonly #silence: SilenceWatch<K, A>

  constructor(env: CoreEnvironment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
    this.#silence = new SilenceWatch(env, (endpoint) => this.failed(endpoint, "Silent", undefined))
  }

  healthOf(endpoint: PoolEndpoint<K, A>, now: number): Health {
    const { connecting, connections, dialState: { phase }, hasSucceeded, queue, setbacks } = endpoint
    const { settings } = this.#env
    return healthOf({
      phase,
      suspicion: setbacks.suspicion,
      isFull: setbacks.isFull,
      hasSucceeded,
      // Only looked for if it matters, because the endpoint may have many connections.
      isConnected: phase !== "Down" || connections.some((connection) => isConnected(connection, now)),
      connecting,
      waiting: queue.size,
      hasRoom: slotsOf(endpoint) < settings.maxPerEndpoint && hasFreeSlot(this.#store, settings),
      isTooEarly: now < this.#retryAt(endpoint)
    })
  }

  /** An endpoint has a setback. */
  failed(endpoint: PoolEndpoint<K, A>, evidence: Evidence, error: unknown): void {
    const now = this.#env.clock.now()
    const retryAt = now + this.#delay(this.#env.random())
    endpoint.setbacks = afterSetback(endpoint.setbacks, evidence, { now, retryAt, error })
    endpoint.hasSucceeded = false
    if (error !== undefined) endpoint.trouble = { cause: error, at: now }
    this.delayed(endpoint)
  }

  /**
   * The next attempt at an endpoint is delayed. The housekeeping runs when the next dial is due, or, without one, when the delay
   * ends.
   */
  delayed(endpoint: PoolEndpoint<K, A>): void {
    this.#changing.add(endpoint)
    const { dialAt } = endpoint
    this.#env.wakeAt(dialAt > this.#env.clock.now() ? dialAt : this.#retryAt(endpoint))
    this.judged(endpoint)
  }

  /** The next moment at which the health of an endpoint changes by itself. */
  nextChange(now: number): number {
    let next = Infinity
    for (const endpoint of this.#changing) {
      const retryAt = this.#retryAt(endpoint)
      if (retryAt <= now) this.#changing.delete(endpoint)
      else next = Math.min(next, retryAt)
    }
    return next
  }

  /** A borrow, a check or a dial has succeeded at an endpoint. */
  succeeded(endpoint: PoolEndpoint<K, A>): void {
    if (endpoint.hasSucceeded && endpoint.setbacks === noSetbacks) return
    endpoint.setbacks = noSetbacks
    endpoint.hasSucceeded = true
    this.judged(endpoint)
  }

  /** The server has answered a borrower, which had its connection for so many milliseconds. */
  answered(endpoint: PoolEndpoint<K, A>, now: number, held: number): void {
    endpoint.answeredAt = now
    endpoint.uses.add(held, now)
  }

  /** A borrower has joined or left the queue of an endpoint. The health of an endpoint with setbacks depends on its queue. */
  queueChanged(endpoint: PoolEndpoint<K, A>): void {
    const { dialState, queue, setbacks } = endpoint
    if (queue.size > 0 && !endpoint.isWatched) this.#silence.add(endpoint)
    if (dialState.phase !== "Healthy" || setbacks !== noSetbacks) this.judged(endpoint)
  }

  /** A borrower has ended its use of a connection. */
  used(connection: PooledConnection<K, A>, exit: Exit.Exit<unknown, unknown>, isSpoilt: boolean): void {
    const { owner, trial } = connection
    if (Exit.isSuccess(exit)) {
      if (!isSpoilt) this.succeeded(owner)
      return
    }
    // A connection that has died counts as a failed dial. A connection that the pool has closed says nothing of the endpoint.
    if (isGone(connection) || trial === "Over" && owner.setbacks === noSetbacks) return
    const error = Cause.squash(exit.cause)
    // A server that answers a statement with an error serves its borrowers, also after a statement that it has cancelled.
    if (answerIn(error) === "Statement") {
      if (!isSpoilt) this.succeeded(owner)
    } else if (trial !== "Over") this.failed(owner, evidenceOf(exit.cause), error)
  }

  /** A connection has not passed its check, or could not be made ready. */
  rejected({ owner, trial }: PooledConnection<K, A>): void {
    this.failed(owner, trial === "Over" ? "Stale" : "Failure", undefined)
  }

  /** The time of a waiting borrower is over. While dials fail, this does not count, because the failed dials do. */
  timedOut({ owner, waitingSince }: Lease<K, A>, error: PoolError): void {
    const { reason } = error
    if (reason._tag !== "AcquireTimeout" || owner.dialState.phase === "Down") return
    const { cause, stalledBy } = reason
    if (stalledBy === "Suspended" || isLocal(cause)) return
    const { answeredAt, uses } = owner
    const wait = { now: this.#env.clock.now(), waitingSince, answeredAt, connections: inUse(owner), uses }
    // A slow server is not down. And where other endpoints have all connections, nothing is known of this one.
    if (stalledBy === "TotalCap" && wait.connections === 0 || !Silence.isTelling(wait)) return
    this.failed(owner, stalledBy === "TotalCap" ? "Unclear" : "Failure", error)
  }

  /** The error of a borrow that would have to wait and fails at once instead, with `whenUnavailable: "fail"`. */
  refusalOf(endpoint: PoolEndpoint<K, A>): PoolError | undefined {
    if (!this.#env.settings.failsWhenUnavailable) return undefined
    const now = this.#env.clock.now()
    if (this.healthOf(endpoint, now) !== "Unavailable") return undefined
    const left = this.#retryAt(endpoint) - now
    return Diagnostics.endpointUnavailable(endpoint, now, left > 0 ? left : this.#delay(1), this.#env.settings)
  }

  /** The health of an endpoint may have changed. */
  judged(endpoint: PoolEndpoint<K, A>): void {
    this.noted(endpoint, this.#env.clock.now())
    this.#env.observers.current?.judged(endpoint.label)
  }

  /** The health of an endpoint. It is noted since when the endpoint is not `Healthy`. */
  noted(endpoint: PoolEndpoint<K, A>, now: number): Health {
    const health = this.healthOf(endpoint, now)
    if (health !== "Healthy") endpoint.impairedSince ??= now
    else endpoint.impairedSince = endpoint.trouble = undefined
    return health
  }

  /** Ends with the pool. */
  stop(): void {
    this.#silence.stop()
  }

  /** The first delay of the policy, in milliseconds. */
  #delay(u: number): number {
    return redialDelay(this.#env.settings.retry, 1, u)
  }

  #retryAt({ dialAt, setbacks }: PoolEndpoint<K, A>): number {
    return Math.max(dialAt, setbacks.retryAt)
  }
}

/** Looks at the endpoints for which borrowers wait, as long as there are any, and finds those that are silent. */
class SilenceWatch<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #found: (endpoint: PoolEndpoint<K, A>) => void
  readonly #watches = new Map<PoolEndpoint<K, A>, Silence.Watch>()
  readonly #alarm: Alarm

  /** `found` is called once for each silence. */
  constructor(env: CoreEnvironment<K, A>, found: (endpoint: PoolEndpoint<K, A>) => void) {
    const { clock, fork, outbox } = env
    this.#env = env
    this.#found = found
    const now = () => clock.now()
    this.#alarm = new Alarm({ clock: clock.clock, fork, now, onDue: () => outbox.step(() => this.#look()) })
  }

  /** A borrower waits for an endpoint that is not watched. */
  add(endpoint: PoolEndpoint<K, A>): void {
    endpoint.isWatched = true
    const now = this.#env.clock.now()
    this.#watches.set(endpoint, Silence.watchFrom(now))
    this.#alarm.at(now + Silence.lookEvery)
  }

  stop(): void {
    this.#alarm.stop()
  }

  /** Returns when the next look is due. */
  #look(): number {
    const now = this.#env.clock.now()
    for (const [endpoint, watch] of this.#watches) {
      if (endpoint.queue.size > 0) this.#watches.set(endpoint, this.#after(endpoint, watch, now))
      else {
        this.#watches.delete(endpoint)
        endpoint.isWatched = false
      }
    }
    return this.#watches.size === 0 ? Infinity : now + Silence.lookEvery
  }

  #after(endpoint: PoolEndpoint<K, A>, before: Silence.Watch, now: number): Silence.Watch {
    // A suspended pool leases nothing.
    if (!this.#env.isOpen()) return Silence.watchFrom(now)
    const { answeredAt, connections, uses } = endpoint
    // The holder of a standing lease may have answers that the pool does not see.
    const isStanding = connections.some(({ leases }) => leases.some((lease) => lease.isStanding))
    const facts = { now, answeredAt, connections: isStanding ? 0 : inUse(endpoint), uses }
    const watch = Silence.looked(before, facts)
    if (!Silence.isSilent(watch, facts)) return watch
    this.#found(endpoint)
    return Silence.watchFrom(now)
  }
}
