/**
 * A program under `Main` with a pool and the server of operations, which runs until a signal ends it. It prints the address of the page.
 *
 * Usage: node operations-server-child.ts
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as Operations from "../../src/Operations/Operations.ts"
import * as OperationsHttp from "../../src/Operations/OperationsHttp.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import * as Main from "../../src/Serverless/Main.ts"

const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })

const program = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({ name: "orders", connector })
  yield* ConnectionPool.use(pool, "db", () => Effect.void)
  const { url } = yield* OperationsHttp.Server
  Fs.writeSync(1, `${url}\n`)
  return yield* Effect.never
})

Main.run(program, {
  layer: Layer.mergeAll(
    OperationsHttp.layerServer({ port: 0, required: ["orders"] }).pipe(Layer.provideMerge(Operations.layer)),
    ResourceMonitor.layer
  )
})
