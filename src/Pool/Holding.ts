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
   * Hands over an opened connection and leases one, which knows its place then. With two hand-overs at once it may be the
   * other one's connection; each is leased exactly once.
   */
  readonly adopt: (connection: PooledConnection<K, A>) => Effect.Effect<PooledConnection<K, A>>
  /** Gives the lease on a connection back and has it closed, once. In the same step in which it is, `freed` is called. */
  readonly dispose: (connection: PooledConnection<K, A>, freed: () => void) => Effect.Effect<void>
  /** Ends the holder; its connections have been disposed of before. */
  readonly close: Effect.Effect<void>
}

/**
 * How many connections share one of Effect's pools, which costs as much memory as all records of ours for an endpoint. It
 * looks through all its items when one is given up, so that they must not be many.
 */
const maxShared = 64

/** One of Effect's pools. */
interface Shelf<K, A> {
  readonly pool: EffectPool.Pool<PooledConnection<K, A>>
  readonly scope: Scope.Closeable
  /** Connections that are about to become items. */
  readonly arrivals: Array<PooledConnection<K, A>>
  /** How many connections it has or is about to have. */
  size: number
}

/** Where a connection is kept, and the lease on it. */
export interface Place<K, A> {
  readonly shelf: Shelf<K, A>
  readonly lease: Scope.Closeable
}

const neverResizes = <A>(): EffectPool.Strategy<A, never> => ({
  run: () => Effect.void,
  onAcquire: () => Effect.void,
  reclaim: () => Effect.undefined
})

/** Closes a connection with the item that it becomes. `Effect.acquireRelease` would keep a whole context for that. */
const closedWithItem = <K, A>(
  connection: PooledConnection<K, A>
): Effect.Effect<PooledConnection<K, A>, never, Scope.Scope> =>
  Effect.uninterruptible(Effect.flatMap(
    Effect.scope,
    (scope) => Effect.as(Scope.addFinalizerExit(scope, () => closeAll(connection)), connection)
  ))

const closeAll = <K, A>({ records, scope }: PooledConnection<K, A>): Effect.Effect<void> =>
  Effect.ensuring(Scope.close(scope, Exit.void), Scope.close(records, Exit.void))

const makeShelf = <K, A>(): Effect.Effect<Shelf<K, A>> =>
  Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    const arrivals: Array<PooledConnection<K, A>> = []
    const acquire = Effect.suspend(() => {
      const connection = arrivals.shift()
      return connection === undefined
        ? Effect.die(new Error("Effect's Pool asked for an item although no connection was opened"))
        : closedWithItem(connection)
    })
    const pool = EffectPool.makeWithStrategy({
      acquire,
      min: 0,
      // Both caps are kept before a connection is dialled.
      max: Number.MAX_SAFE_INTEGER,
      strategy: neverResizes<PooledConnection<K, A>>()
    })
    return Effect.map(Scope.provide(pool, scope), (made) => ({ pool: made, scope, arrivals, size: 0 }))
  })

/** What comes between two steps of Effect's `Pool` that belong together must not be another fiber. */
const atOnce = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.provideService(effect, Scheduler.PreventSchedulerYield, true)

const putOn = <K, A>(shelf: Shelf<K, A>, connection: PooledConnection<K, A>): Effect.Effect<PooledConnection<K, A>> => {
  const lease = Scope.makeUnsafe()
  shelf.size++
  shelf.arrivals.push(connection)
  // Effect's Pool misses a `get` that comes while its resizing has yielded between its last look and its end.
  return atOnce(Effect.map(Scope.provide(EffectPool.get(shelf.pool), lease), (taken) => {
    taken.place = { shelf, lease }
    return taken
  }))
}

/** Given back and not yet removed, an item would be free for another connection's `adopt` to take. */
const takeOff = <K, A>(
  { lease, shelf }: Place<K, A>,
  connection: PooledConnection<K, A>,
  freed: () => void
): Effect.Effect<void> => {
  const removed = Effect.andThen(Scope.close(lease, Exit.void), EffectPool.invalidate(shelf.pool, connection))
  return atOnce(Effect.ensuring(removed, Effect.sync(freed)))
}

/** Makes the holder of a pool, which has as many of Effect's pools as its connections need. */
export const make = <K, A>(): Holding<K, A> => {
  const shelves = new Set<Shelf<K, A>>()
  let filling: Shelf<K, A> | undefined
  const withRoom = Effect.suspend(() =>
    filling !== undefined && filling.size < maxShared
      ? Effect.succeed(filling)
      : Effect.map(makeShelf<K, A>(), (shelf) => {
        shelves.add(shelf)
        return filling = shelf
      })
  )
  const leave = (shelf: Shelf<K, A>): Effect.Effect<void> => {
    shelf.size--
    if (shelf.size > 0 || shelf === filling) return Effect.void
    shelves.delete(shelf)
    return Scope.close(shelf.scope, Exit.void)
  }
  return {
    adopt: (connection) => Effect.flatMap(withRoom, (shelf) => putOn(shelf, connection)),
    dispose: (connection, freed) =>
      Effect.suspend(() => {
        const { place } = connection
        connection.place = undefined
        return place === undefined
          ? Effect.void
          : Effect.andThen(takeOff(place, connection, freed), Effect.suspend(() => leave(place.shelf)))
      }),
    close: Effect.suspend(() =>
      Effect.forEach(shelves, ({ scope }) => Scope.close(scope, Exit.void), { discard: true })
    )
  }
}
