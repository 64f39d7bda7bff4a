/**
 * An HTTP server that answers after as many milliseconds as the path says, over a connection of a pool. It prints its port, and the closing
 * of connections.
 *
 * Usage: node http-end-child.ts Main|CloudRun effect|node
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import * as CloudRun from "../../src/Serverless/CloudRun.ts"
import * as Main from "../../src/Serverless/Main.ts"

const print = (text: string) => void Fs.writeSync(1, `${text}\n`)

const connector = Connector.make({
  open: (name: string) => Effect.acquireRelease(Effect.succeed({ name }), () => Effect.sync(() => print("closed")))
})

class Databases extends ConnectionPool.Service<Databases>()("app/Databases", { connector }) {}

const answerTo = (url: string) => {
  const millis = Number(url.slice(1))
  return Databases.withConnection("db", () => Effect.as(Effect.sleep(millis), `after ${millis}`))
}

const onEffect = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  return HttpServerResponse.text(yield* Effect.orDie(answerTo(request.url)))
})

const effectServer = HttpRouter.serve(HttpRouter.add("GET", "*", onEffect), { disableLogger: true }).pipe(
  Layer.merge(
    Layer.effectDiscard(
      Effect.map(HttpServer.HttpServer, ({ address }) => print(String("port" in address ? address.port : 0)))
    )
  ),
  Layer.provide(
    NodeHttpServer.layer(() => Http.createServer({ keepAliveTimeout: 5000 }), { port: 0, host: "127.0.0.1" })
  )
)

const nodeServer = Layer.effectDiscard(Effect.gen(function*() {
  const context: Context.Context<Databases> = yield* Effect.context<Databases>()
  const server = Http.createServer({ keepAliveTimeout: 5000 }, (request, response) =>
    void Effect.runForkWith(context)(
      Effect.map(answerTo(request.url ?? ""), (text) => void response.end(text))
    ))
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) =>
      void server.listen(0, "127.0.0.1", () => {
        print(String((server.address() as Net.AddressInfo).port))
        resume(Effect.void)
      })
    ),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )
}))

const [platform, kind] = process.argv.slice(2)
const layer = Layer.provide(
  kind === "node" ? nodeServer : effectServer,
  Databases.layer.pipe(Layer.provide(ResourceMonitor.layer))
)
if (platform === "CloudRun") CloudRun.launch(layer)
else Main.launch(layer)
