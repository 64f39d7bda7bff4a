/**
 * Effect's `Pool` as the holder of connections.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as EffectPool from "effect/Pool"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import type { PooledConnection } from "./PoolState.ts"

/**
 * Keeps and closes the open connections of a pool.
 *
 * **Details**
 *
 * Nobody waits in Effect's `Pool`: it is asked for one more item only when a connection has just been opened, which
 * becomes that item. The lease on the item stays with our front as long as the connection is open and goes from borrower
 * to borrower without Effect's `Pool` taking notice. It is given back when the connection shall close.
 */
export interface Holding<K, A> {
  /**
   * Hands over an opened connection and leases one, which has its `dispose` set. With two hand-overs at once it may be the
   * other one's connection; each is leased exactly once.
   */
  readonly adopt: (connection: PooledConnection<K, A>) => Effect.Effect<PooledConnection<K, A>>
  /** Ends the holder; its connections have been disposed of before. */
  readonly close: Effect.Effect<void>
}

/**
 * How many connections share one of Effect's pools, which costs as much memory as all records of ours for an endpoint. It
 * looks through all its items when one is given up, so that they must not be many.
 */
const maxShared = 64

/** One of Effect's pools, and how many connections it has or is about to have. */
interface Shelf<K, A> {
  readonly holding: Holding<K, A>
  size: number
}

const neverResizes = <A>(): EffectPool.Strategy<A, never> => ({
  run: () => Effect.void,
  onAcquire: () => Effect.void,
  reclaim: () => Effect.undefined
})

/**
 * Gives the lease back and removes the item, without a pause in between. Given back and not yet removed, the item would
 * be free for a connection's `adopt` to take.
 */
const giveUp = <A>(pool: EffectPool.Pool<A>, item: A, lease: Scope.Closeable): Effect.Effect<void> =>
  Effect.provideService(
    Effect.andThen(Scope.close(lease, Exit.void), EffectPool.invalidate(pool, item)),
    Scheduler.PreventSchedulerYield,
    true
  )

/** Closes a connection with the item that it becomes. `Effect.acquireRelease` would keep a whole context for that. */
const closedWithItem = <K, A>(
  connection: PooledConnection<K, A>
): Effect.Effect<PooledConnection<K, A>, never, Scope.Scope> =>
  Effect.uninterruptible(Effect.flatMap(
    Effect.scope,
    (scope) => Effect.as(Scope.addFinalizerExit(scope, () => Scope.close(connection.scope, Exit.void)), connection)
  ))

/** A holder that is one of Effect's pools. */
const makeOne = <K, A>(): Effect.Effect<Holding<K, A>> =>
  Effect.gen(function*() {
    const scope = Scope.makeUnsafe()
    const arrivals: Array<PooledConnection<K, A>> = []
    const acquire = Effect.suspend(() => {
      const connection = arrivals.shift()
      return connection === undefined
        ? Effect.die(new Error("Effect's Pool asked for an item although no connection was opened"))
        : closedWithItem(connection)
    })
    const pool = yield* Scope.provide(
      EffectPool.makeWithStrategy({
        acquire,
        min: 0,
        // Both caps are kept before a connection is dialled.
        max: Number.MAX_SAFE_INTEGER,
        strategy: neverResizes<PooledConnection<K, A>>()
      }),
      scope
    )
    return {
      adopt: (connection) =>
        Effect.suspend(() => {
          const lease = Scope.makeUnsafe()
          arrivals.push(connection)
          const taken = Effect.map(Scope.provide(EffectPool.get(pool), lease), (item) => {
            item.dispose = Effect.suspend(() => giveUp(pool, item, lease))
            return item
          })
          // Effect's Pool misses a `get` that comes while its resizing has yielded between its last look and its end.
          return Effect.provideService(taken, Scheduler.PreventSchedulerYield, true)
        }),
      close: Scope.close(scope, Exit.void)
    }
  })

/** Makes the holder of a pool, which has as many of Effect's pools as its connections need. */
export const make = <K, A>(): Holding<K, A> => {
  const shelves = new Set<Shelf<K, A>>()
  let filling: Shelf<K, A> | undefined
  const withRoom = Effect.suspend(() =>
    filling !== undefined && filling.size < maxShared
      ? Effect.succeed(filling)
      : Effect.map(makeOne<K, A>(), (holding) => {
        filling = { holding, size: 0 }
        shelves.add(filling)
        return filling
      })
  )
  const leave = (shelf: Shelf<K, A>): Effect.Effect<void> => {
    shelf.size--
    if (shelf.size > 0 || shelf === filling) return Effect.void
    shelves.delete(shelf)
    return shelf.holding.close
  }
  return {
    adopt: (connection) =>
      Effect.flatMap(withRoom, (shelf) => {
        shelf.size++
        return Effect.map(shelf.holding.adopt(connection), (taken) => {
          const { dispose } = taken
          taken.dispose = Effect.suspend(() => Effect.andThen(dispose, leave(shelf)))
          return taken
        })
      }),
    close: Effect.suspend(() => Effect.forEach(shelves, ({ holding }) => holding.close, { discard: true }))
  }
}
