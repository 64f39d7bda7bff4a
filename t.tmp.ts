import { Effect, Fiber } from "effect"
import * as ConnectionPool from "./src/Pool/ConnectionPool.ts"
import * as ResourceMonitor from "./src/Monitor/ResourceMonitor.ts"
import * as Connector from "./src/Resource/Connector.ts"
const connector = Connector.make({ open: (k: string) => Effect.acquireRelease(Effect.as(Effect.yieldNow, {k}), () => Effect.void) })
const prog = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 1 })
  const order: any = []
  const t0 = performance.now()
  const work = (k: string) => ConnectionPool.use(pool, k, () => Effect.andThen(Effect.sleep(5), Effect.sync(() => order.push(k + Math.round(performance.now()-t0)))))
  const hot = yield* Effect.forEach(Array.from({length: 20}), () => Effect.forkChild(work("hot"), {startImmediately: true}))
  const cold = yield* Effect.forkChild(work("cold"), {startImmediately: true})
  yield* Fiber.joinAll([...hot, cold])
  console.log(order.join(" "))
}).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))
await Effect.runPromise(prog)
