import { Effect, Pool, Fiber } from "effect"
import * as ConnectionPool from "/work/main/src/Pool/ConnectionPool.ts"
import * as ResourceMonitor from "/work/main/src/Monitor/ResourceMonitor.ts"
import * as Connector from "/work/main/src/Resource/Connector.ts"
const connector = Connector.make({ open: (k: string) => Effect.acquireRelease(Effect.succeed({k}), () => Effect.void) })
const microtask = Effect.callback<void>((resume) => queueMicrotask(() => resume(Effect.void)))
const f = () => microtask
const serialF = () => Effect.void
const loop = (n: number, e: Effect.Effect<any, any, any>) => Effect.gen(function*() { for (let i = 0; i < n; i++) yield* e })
const crowd = (borrowers: number, each: number, e: Effect.Effect<any, any, any>) => Effect.gen(function*() {
  const fs: any[] = []
  for (let i = 0; i < borrowers; i++) fs.push(yield* Effect.forkChild(loop(each, e)))
  for (const x of fs) yield* Fiber.join(x)
})
const prog: any = Effect.gen(function*() {
  const ours = yield* ConnectionPool.make({ connector, maxPerEndpoint: 10, maxTotal: 10, idleTimeout: "1 hour", maxLifetime: "1 hour" })
  const theirs = yield* Pool.make({ acquire: Effect.acquireRelease(Effect.succeed({k:""}), () => Effect.void), size: 10 })
  const cases: Array<[string, number, Effect.Effect<any,any,any>, Effect.Effect<any,any,any>, number]> = [
    ["serial", 100000, loop(100000, ConnectionPool.use(ours, "a", serialF)), loop(100000, Pool.use(theirs, serialF)), 1],
    ["h1 c1", 50000, loop(50000, ConnectionPool.use(ours, "a", f)), loop(50000, Pool.use(theirs, f)),1],
    ["h1 c100", 50000, crowd(100, 500, ConnectionPool.use(ours, "a", f)), crowd(100, 500, Pool.use(theirs, f)),1],
    ["h1 c10000", 50000, crowd(10000, 5, ConnectionPool.use(ours, "a", f)), crowd(10000, 5, Pool.use(theirs, f)),1],
  ]
  for (const [name, n, a, b] of cases) {
    const ra: number[] = [], rb: number[] = []
    for (let round = 0; round < 9; round++) {
      let t = performance.now(); yield* a; ra.push((performance.now() - t) * 1e6 / n)
      t = performance.now(); yield* b; rb.push((performance.now() - t) * 1e6 / n)
    }
    const med = (x: number[]) => x.slice(2).sort((p, q) => p - q)[3]!
    console.log(name.padEnd(10), "ours", med(ra).toFixed(0), "Pool.use", med(rb).toFixed(0), "ratio", (med(ra)/med(rb)).toFixed(2))
  }
}).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))
await Effect.runPromise(prog)
