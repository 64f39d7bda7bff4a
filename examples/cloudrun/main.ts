/**
 * A service to deploy on Cloud Run: see README.md beside it.
 */
import { Config, Context, Effect, Layer } from "effect"
import * as CloudRun from "effect-sluice/CloudRun"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Http from "node:http"
import { Agents, layer } from "../agents/Agents.ts"

const agents = layer({ idleTimeout: "1 minute" }).pipe(Layer.provide(ResourceMonitor.layer))

const answer = (request: Http.IncomingMessage, response: Http.ServerResponse) =>
  Effect.gen(function*() {
    const n = Number(new URL(request.url ?? "/", "http://localhost").searchParams.get("n"))
    const { double } = yield* Agents
    const doubled = yield* double(n)
    response.setHeader("content-type", "application/json").end(JSON.stringify({ doubled }))
  }).pipe(
    // An error of the pool or of the peer becomes a 503.
    Effect.catch((error) => Effect.sync(() => response.writeHead(503).end(error.message)))
  )

/** Listens, and waits for open requests before it closes. */
const server = Layer.effectDiscard(Effect.gen(function*() {
  const port = yield* Config.withDefault(Config.Port("PORT"), 8080)
  const context: Context.Context<Agents> = yield* Effect.context<Agents>()
  const fork = Effect.runForkWith(context)
  const server = Http.createServer((request, response) => void fork(answer(request, response)))
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(port, () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeIdleConnections()
      })
  )
}))

CloudRun.launch(Layer.provide(server, agents))
