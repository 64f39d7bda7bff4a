/**
 * Which connections may have died without the pool's knowing.
 *
 * The end of a connection is news that the kernel has first, that the event loop brings, and that the connector's `closed` and
 * `isReusable` pass on. Between a return and the next lease in one step there is no time for news. Everywhere else a connection may
 * be dead although nothing says so, and its next borrower lets the loop turn before it goes on.
 *
 * @since 0.1.0
 */
import { loopTurns } from "../internal/LoopTurns.ts"
import type { Lease, PooledConnection } from "./PoolState.ts"

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

/** An endpoint of which nothing is known yet is doubted once. */
export const firstDoubt = 1

const isTurning = <K, A>(lease: Lease<K, A> | undefined): boolean => lease !== undefined && lease.turn !== "None"

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
    if (state === "Idle") return provenAt !== now || aliveIn !== loopTurns.last
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
