/**
 * What the heart of a pool needs from outside.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { ResourceExhausted } from "../Monitor/Gate.ts"
import type { Connector } from "../Resource/Connector.ts"
import type { Closable } from "./Closing.ts"
import type { Demand } from "./Opening.ts"
import type { Settings } from "./PoolOptions.ts"
import type { KeyPool, Lease } from "./PoolState.ts"
import type { OnBehalf, SlotHolders } from "./SlotHolders.ts"
import type { SteadyClock } from "./SteadyClock.ts"

/** Asks whether a connection to the endpoint with this label works, or cleans it up. */
export type Probe<A> = (connection: A, label: string, onBehalf: OnBehalf) => Effect.Effect<boolean>

/** What the core cannot do by itself. */
export interface Environment<K, A> {
  readonly settings: Settings
  readonly clock: SteadyClock
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number
  readonly slotHolders: SlotHolders<K, A>
  /** Starts a fiber that outlives the caller. */
  readonly fork: <B>(effect: Effect.Effect<B>) => Fiber.Fiber<B>
  /** Acts in the next turn of the event loop, or what the pool's scheduler takes for one. */
  readonly nextTurn: (act: () => void) => void
  /** Acts so many milliseconds later, or at once where the clock is not that of the platform. */
  readonly later: (act: () => void, millis: number) => void
  readonly makeKeyPool: (key: K) => KeyPool<K, A>
  /** Starts to open a connection, which is handed to `demand.opened`. */
  readonly open: (keyPool: KeyPool<K, A>, demand: Demand<A>) => Fiber.Fiber<void>
  /**
   * Starts closing a connection. `closable.freed` follows when nothing is left of it, perhaps before this returns, and also where
   * its finalizer does not end. The fiber ends after that.
   */
  readonly close: (closable: Closable) => Fiber.Fiber<void>
  /** Starts a fiber that ends when the connection has died. */
  readonly watch: ((connection: A) => Fiber.Fiber<void>) | undefined
  /** Whether a connection may be lent again: after a borrow that ended so, or before the next one. */
  readonly isReusable: Connector<K, A>["isReusable"]
  /** Asks whether an idle connection still works. */
  readonly check: Probe<A> | undefined
  /** Whether a hook makes each connection ready before it is lent, which may fail. */
  readonly makesReady: boolean
  /** Cleans a connection up for its next borrower. */
  readonly reset: Probe<A> | undefined
  /** What keeps the gate from letting a dial in now, if something does. */
  readonly obstacle: (label: string) => ResourceExhausted | undefined
  /** Tells the monitor about a lease that is held for too long, has come back after all, or is lost. */
  readonly reportLease: (lease: Lease<K, A>, what: "Held" | "Returned" | "Lost", millis: number) => Effect.Effect<void>
  /** Warns, once for each place in the program, of a borrow inside a borrow that may wait for itself. */
  readonly warnNested: (lease: Lease<K, A>) => void
}
