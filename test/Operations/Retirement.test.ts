/** The end of a program as docs/how-to/kubernetes.md describes it. */
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { ConnectionPool, Connector, Operations, ResourceMonitor } from "effect-sluice"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

class Orders extends ConnectionPool.Service<Orders>()("orders", {
  connector: Connector.make({ open: (name: string) => Effect.succeed({ name }) }),
  endpoint: "db"
}) {}

const Api = HttpRouter.serve(
  HttpRouter.add(
    "GET",
    "/",
    Effect.orDie(Orders.withConnection(() => Effect.sleep("50 millis"))).pipe(
      Effect.as(HttpServerResponse.text("hello"))
    )
  ),
  { disableLogger: true, disableListenLog: true }
).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })))

const Retirement = Layer.effectDiscard(
  Effect.flatMap(
    Operations.Operations,
    ({ retire }) => Effect.addFinalizer(() => Effect.andThen(retire, Effect.sleep("500 millis")))
  )
)

const App = Retirement.pipe(
  Layer.provideMerge(Api),
  Layer.provideMerge(Orders.layer),
  Layer.provideMerge(OperationsHttp.layerServer({ port: 0, required: ["orders"] })),
  Layer.provideMerge(Operations.layerOptions({ logs: false })),
  Layer.provideMerge(ResourceMonitor.layer)
)

const statusOf = (url: string) =>
  // oxlint-disable-next-line effecttsgo/global-fetch-in-effect
  Effect.tryPromise(() => fetch(url, { headers: { connection: "close" } })).pipe(
    Effect.tap((response) => Effect.promise(() => response.text())),
    Effect.map(({ status }) => status),
    Effect.orElseSucceed(() => "no answer" as const)
  )

describe("a program that retires", () => {
  it.live("is not ready at once, serves requests meanwhile, and then ends", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(App, scope)
      const { url } = Context.get(context, OperationsHttp.Server)
      const { address } = Context.get(context, HttpServer.HttpServer)
      const api = `http://127.0.0.1:${"port" in address ? address.port : 0}/`
      const statuses = Effect.all([
        statusOf(`${url}livez`),
        statusOf(`${url}readyz`),
        statusOf(`${url}metrics`),
        statusOf(api)
      ])
      assert.deepStrictEqual(yield* statuses, [200, 200, 200, 200])

      const ending = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* Effect.sleep("50 millis")
      assert.deepStrictEqual(yield* statuses, [200, 503, 200, 200])
      yield* Fiber.join(ending)
      assert.deepStrictEqual(yield* statuses, ["no answer", "no answer", "no answer", "no answer"])
    }))
})
