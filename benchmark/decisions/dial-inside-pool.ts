/**
 * What a hung dial costs the next borrower of the same endpoint: once when Effect's Pool dials in its `acquire`, once
 * when a fiber of ours dials and Effect's Pool only adopts what is open.
 *
 * The second is how connections were held for a while; decision 3 says why they are not any more.
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

const strategy: Pool.Strategy<Connection, never> = {
  run: () => Effect.void,
  onAcquire: () => Effect.void,
  reclaim: () => Effect.undefined
}

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
const inside = Effect.map(
  Pool.makeWithStrategy({ acquire: makeDial(), ...bounds, strategy }),
  (pool): Borrow => Pool.get(pool)
)

/**
 * We dial, each connection in a scope of its own. Whoever is done puts the open connection down and asks Effect's Pool
 * for one more, whose `acquire` picks it up without waiting and closes its scope when the item goes.
 */
const makeAdopting = () => {
  const dial = makeDial()
  const opened: Array<{ readonly connection: Connection; readonly scope: Scope.Closeable }> = []
  const adopt = Effect.gen(function*() {
    const item = opened.shift()
    if (item === undefined) return yield* Effect.die(new Error("nothing was opened"))
    yield* Effect.addFinalizer((exit) => Scope.close(item.scope, exit))
    return item.connection
  })
  return Effect.map(
    Pool.makeWithStrategy({ acquire: adopt, ...bounds, strategy }),
    (pool): Borrow =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const connection = yield* Scope.provide(dial, scope)
        opened.push({ connection, scope })
        return yield* Pool.get(pool)
      })
  )
}

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
  yield* row("dialled inside Effect's Pool ", yield* waits(inside))
  yield* row("dialled outside, then adopted", yield* waits(makeAdopting()))
})

await Effect.runPromise(program)
