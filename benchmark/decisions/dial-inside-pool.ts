/**
 * What a hung dial costs the next borrower of the same endpoint: once when `acquire` of Effect's Pool dials, once when `acquire`
 * returns at once and the dial goes on in the scope of the item, as an endpoint's Pool does it (decision 3).
 *
 * Two connections are allowed. The first dial hangs for a second, as one does when packets are dropped; the second
 * takes 20 ms. Run it with `node benchmark/decisions/dial-inside-pool.ts`.
 */
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Pool from "effect/Pool"
import * as Scope from "effect/Scope"

interface Connection {
  readonly id: number
}

const hang = Duration.seconds(1)
const quick = Duration.millis(20)
const bounds = { min: 0, max: 2 }

const makeStrategy = <A>(): Pool.Strategy<A, never> => ({
  run: () => Effect.void,
  onAcquire: () => Effect.void,
  reclaim: () => Effect.undefined
})

/** A dial whose first use hangs. The connection lives as long as its scope. */
const makeDial = () => {
  let dials = 0
  return Effect.acquireRelease(
    Effect.suspend(() => {
      const id = ++dials
      return Effect.as(Effect.sleep(id === 1 ? hang : quick), { id })
    }),
    () => Effect.void,
    { interruptible: true }
  )
}

type Borrow = Effect.Effect<Connection, never, Scope.Scope>

/** Effect's Pool dials. */
const byAcquire = Effect.map(
  Pool.makeWithStrategy({ acquire: makeDial(), ...bounds, strategy: makeStrategy<Connection>() }),
  (pool): Borrow => Pool.get(pool)
)

/** Effect's Pool makes an item at once. The connection is opened in the scope of the item, which closes it. */
const inItemScope = Effect.suspend(() => {
  const dial = makeDial()
  return Effect.map(
    Pool.makeWithStrategy({ acquire: Effect.scope, ...bounds, strategy: makeStrategy<Scope.Scope>() }),
    (pool): Borrow => Effect.flatMap(Pool.get(pool), (scope) => Scope.provide(dial, scope))
  )
})

/** How long each of two borrowers waits. The second comes 10 ms after the first, and neither gives back meanwhile. */
const waits = (make: Effect.Effect<Borrow, never, Scope.Scope>) =>
  Effect.scoped(Effect.gen(function*() {
    const borrow = yield* make
    const timed = Effect.gen(function*() {
      const before = yield* Clock.currentTimeMillis
      yield* borrow
      return (yield* Clock.currentTimeMillis) - before
    })
    const first = yield* Effect.forkChild(timed, { startImmediately: true })
    yield* Effect.sleep(10)
    const second = yield* Effect.forkChild(timed, { startImmediately: true })
    return [yield* Fiber.join(first), yield* Fiber.join(second)] as const
  }))

const row = (label: string, [first, second]: readonly [number, number]) =>
  Console.log(`${label}  hung dial ${first} ms   next borrower ${second} ms`)

const program = Effect.gen(function*() {
  yield* row("dialed by acquire          ", yield* waits(byAcquire))
  yield* row("dialed in the item's scope ", yield* waits(inItemScope))
})

await Effect.runPromise(program)
