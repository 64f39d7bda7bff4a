/**
 * An HTTP server that answers after as many milliseconds as the path says, over a connection of a pool, and echoes what comes over a
 * WebSocket. It prints its port, and the closing of connections.
 *
 * Usage: node http-end-child.ts '{"platform":"Main"|"CloudRun","server":"effect"|"node","retirement":MILLIS,"window":MILLIS,"path":PATH,"tls":{key,cert}}'
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeWS from "@effect/platform-node/NodeWS"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import * as CloudRun from "../../src/Serverless/CloudRun.ts"
import * as Main from "../../src/Serverless/Main.ts"
import type { Settings } from "./http-end-program.ts"

const settings: Settings = JSON.parse(process.argv[2] ?? "{}")

const print = (text: string) => void Fs.writeSync(1, `${text}\n`)

const connector = Connector.make({
  open: (name: string) => Effect.acquireRelease(Effect.succeed({ name }), () => Effect.sync(() => print("closed")))
})

class Databases extends ConnectionPool.Service<Databases>()("app/Databases", { connector }) {}

const answerTo = (url: string) => {
  const millis = Number(url.slice(1))
  return Databases.withConnection("db", () => Effect.as(Effect.sleep(millis), `after ${millis}`))
}

const options = { keepAliveTimeout: 5000 }

const makeServer = (): Http.Server =>
  settings.tls === undefined ? Http.createServer(options) : Https.createServer({ ...options, ...settings.tls })

const onEffect = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  return HttpServerResponse.text(yield* Effect.orDie(answerTo(request.url)))
})

const echo = Effect.gen(function*() {
  const socket = yield* Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ upgrade }) => upgrade)
  const { writeAll } = yield* socket.writer
  const { pull } = yield* socket.reader
  yield* Effect.ignore(Effect.forever(Effect.flatMap(pull, writeAll)))
  return HttpServerResponse.empty()
}).pipe(Effect.scoped)

const routes = Layer.mergeAll(HttpRouter.add("GET", "/socket", echo), HttpRouter.add("GET", "*", onEffect))

const effectServer = HttpRouter.serve(routes, { disableLogger: true }).pipe(
  Layer.merge(
    Layer.effectDiscard(
      Effect.map(HttpServer.HttpServer, ({ address }) => print(String("port" in address ? address.port : 0)))
    )
  ),
  Layer.provide(NodeHttpServer.layer(makeServer, { port: 0, host: "127.0.0.1" }))
)

const nodeServer = Layer.effectDiscard(Effect.gen(function*() {
  const context: Context.Context<Databases> = yield* Effect.context<Databases>()
  const server = makeServer().on(
    "request",
    (request: Http.IncomingMessage, response: Http.ServerResponse) =>
      void Effect.runForkWith(context)(
        Effect.map(answerTo(request.url ?? ""), (text) => void response.end(text))
      )
  )
  const sockets = new NodeWS.WebSocketServer({ noServer: true })
  server.on(
    "upgrade",
    (request, socket, head) =>
      sockets.handleUpgrade(
        request,
        socket,
        head,
        (upgraded) => void upgraded.on("message", (data: Buffer) => upgraded.send(data.toString()))
      )
  )
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) =>
      void server.listen(settings.path === undefined ? { port: 0, host: "127.0.0.1" } : { path: settings.path }, () => {
        print(String(settings.path === undefined ? (server.address() as Net.AddressInfo).port : 0))
        resume(Effect.void)
      })
    ),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )
}))

const retirement = Layer.effectDiscard(Effect.addFinalizer(() => Effect.sleep(settings.retirement ?? 0)))

const layer = retirement.pipe(
  Layer.provide(settings.server === "node" ? nodeServer : effectServer),
  Layer.provide(Databases.layer.pipe(Layer.provide(ResourceMonitor.layer)))
)
if (settings.platform === "CloudRun") CloudRun.launch(layer, { shutdownWindow: settings.window })
else Main.launch(layer, { cleanupTimeout: settings.window })
