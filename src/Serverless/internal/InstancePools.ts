/**
 * All pools of one instance, for actions on all of them at the same time.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { LiveList } from "../../internal/LiveList.ts"
import { endsWithin } from "../../internal/Timeout.ts"
import * as PoolRegistry from "../../Pool/PoolRegistry.ts"
import type { Freeze } from "./FreezeDetector.ts"

/** Bounds on closing a pool, in milliseconds. */
export interface Limits {
  readonly drainTimeout: number
  readonly closeTimeout: number
}

/**
 * The share of the time of a drain after which pools that stay open no longer wait for the others. A connection to a silent peer takes
 * up to three quarters of it, and gives its permit back after that. One whose finalizer does not end gives none back: its lease ends.
 */
const shareOfOthers = 7 / 8

export class InstancePools extends LiveList<PoolRegistry.RegisteredPool> {
  /** Connections of all pools, in any state. */
  get connections(): number {
    let total = 0
    for (const pool of this.all) total += pool.core.summary().total
    return total
  }

  /** Leased connections of all pools. */
  get leases(): number {
    let active = 0
    for (const pool of this.all) active += pool.core.summary().active
    return active
  }

  /** How long idle connections may take to close, in milliseconds. A pool counts a hanging one for half a second longer than it may take. */
  get closing(): number {
    return Math.max(...[...this.all].map(({ settings }) => Duration.toMillis(settings.closeTimeout)), 0) + 500
  }

  /**
   * Makes each pool recheck its connections after the time that has passed. After a freeze that no clock shows, all connections
   * are evicted.
   */
  judge(freeze: Freeze): void {
    for (const pool of this.all) {
      PoolRegistry.judge(pool, freeze)
      if (freeze.wasHidden) pool.core.evict()
    }
  }

  /** From now on no pool takes longer than this to close. */
  hurry(limits: Limits): void {
    for (const pool of this.all) PoolRegistry.hurry(pool, limits)
  }

  force(): void {
    for (const pool of this.all) pool.core.force()
  }

  /** The invocations that have asked for the dials under way have ended. */
  endDials(): void {
    for (const pool of this.all) pool.core.endDials()
  }

  readonly closeIdle: Effect.Effect<void> = this.#forAll(PoolRegistry.closeIdle)

  /**
   * Drains all at the same time, without waiting for borrowers. Pools that stay open follow the others, because a connection that has
   * closed needs them to give its permit back. If the others hang, they follow before these milliseconds have passed.
   */
  drain(within: number): Effect.Effect<void> {
    const drainAll = (staysOpen: boolean) =>
      this.#forAll((pool) => (pool.staysOpen === true) === staysOpen ? pool.drain(0) : Effect.void)
    return Effect.andThen(endsWithin(drainAll(false), Duration.millis(within * shareOfOthers)), drainAll(true))
  }

  #forAll(f: (pool: PoolRegistry.RegisteredPool) => Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => Effect.forEach([...this.all], f, { concurrency: "unbounded", discard: true }))
  }
}
