/**
 * What it takes that an open connection is an item of Effect's Pool, leased for as long as it is open: memory, and the time to
 * adopt and to close all of them. Each connection has a scope already, in which it was dialled.
 *
 * Each way runs in a process of its own. Run it with `node --expose-gc benchmark/decisions/held-by-effects-pool.ts`.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pool from "effect/Pool"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"

const connections = 20_000

interface Connection {
  readonly scope: Scope.Closeable
}

/** Adopts an open connection; what it returns closes it. */
type Adopt = (connection: Connection) => Effect.Effect<Effect.Effect<void>>

const strategy: Pool.Strategy<Connection, never> = {
  run: () => Effect.void,
  onAcquire: () => Effect.void,
  reclaim: () => Effect.undefined
}

const atOnce = Effect.provideService(Scheduler.PreventSchedulerYield, true)

/** Effect's pools, each for so many connections. They close a connection's scope with its item. */
const inPoolsOf = (size: number): Adopt => {
  const arrivals: Array<Connection> = []
  const acquire = Effect.suspend(() => {
    const connection = arrivals.shift()
    return connection === undefined
      ? Effect.die(new Error("nothing was opened"))
      : Effect.as(Effect.addFinalizer(() => Scope.close(connection.scope, Exit.void)), connection)
  })
  let left = 0
  let filling: Pool.Pool<Connection> | undefined
  const withRoom = Effect.suspend(() => {
    if (filling !== undefined && left-- > 0) return Effect.succeed(filling)
    left = size - 1
    const made = Scope.provide(
      Pool.makeWithStrategy({ acquire, min: 0, max: connections, strategy }),
      Scope.makeUnsafe()
    )
    return Effect.map(made, (pool) => filling = pool)
  })
  return (connection) =>
    Effect.flatMap(withRoom, (pool) => {
      const lease = Scope.makeUnsafe()
      arrivals.push(connection)
      const close = Effect.andThen(Scope.close(lease, Exit.void), Pool.invalidate(pool, connection))
      return Effect.as(atOnce(Scope.provide(Pool.get(pool), lease)), atOnce(close))
    })
}

const ways: Record<string, () => Adopt> = {
  "by its scope alone": () => ({ scope }) => Effect.succeed(Scope.close(scope, Exit.void)),
  "in a pool that 64 share": () => inPoolsOf(64),
  "in a pool of its own": () => inPoolsOf(1)
}

const measure = (adopt: Adopt) =>
  Effect.gen(function*() {
    const opened = Array.from({ length: connections }, (): Connection => ({ scope: Scope.makeUnsafe() }))
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    const start = performance.now()
    const closes = yield* Effect.forEach(opened, adopt)
    const adopted = performance.now()
    globalThis.gc?.()
    const bytes = (process.memoryUsage().heapUsed - before) / connections
    const closing = performance.now()
    yield* Effect.forEach(closes, (close) => close, { discard: true })
    const [open, close] = [adopted - start, performance.now() - closing]
    return `${bytes.toFixed(0)} bytes for each   adopt all ${open.toFixed(0)} ms   close all ${close.toFixed(0)} ms`
  })

const [, script = "", way] = process.argv
const make = way === undefined ? undefined : ways[way]

await Effect.runPromise(
  make === undefined
    ? Effect.forEach(Object.keys(ways), (name) => {
      const output = execFileSync(process.execPath, ["--expose-gc", "--no-warnings", script, name], {
        encoding: "utf8"
      })
      return Console.log(name.padEnd(24), output.trim())
    }, { discard: true })
    : Effect.flatMap(measure(make()), Console.log)
)
