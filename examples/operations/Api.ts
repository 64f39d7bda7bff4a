/**
 * The API over the pools. A request for which there is no connection is answered with 503 and `Retry-After`.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Schema } from "effect"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { createServer } from "node:http"
import * as Pools from "./Pools.ts"

const answer = (body: object) => HttpServerResponse.jsonUnsafe(body)

const order = Effect.gen(function*() {
  const { id } = yield* HttpRouter.schemaPathParams(Schema.Struct({ id: Schema.FiniteFromString }))
  yield* Pools.findOrder(id)
  return answer({ id })
}).pipe(Effect.catchTag("SchemaError", () => Effect.succeed(HttpServerResponse.empty({ status: 400 }))))

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/orders/:id", order),
  HttpRouter.add("GET", "/report", Effect.as(Pools.makeReport, answer({ rows: 1000 }))),
  // The mistake of the demo: the export goes on after the answer, and nothing ends it.
  HttpRouter.add("POST", "/export", Effect.as(Effect.forkDetach(Pools.exportOrders), answer({ started: true }))),
  HttpRouter.add("GET", "/search", Effect.as(Pools.findText, answer({ found: 12 }))),
  HttpRouter.add("POST", "/mail", Effect.as(Pools.sendMail, answer({ sent: true })))
).pipe(Layer.provide(HttpRouter.middleware(OperationsHttp.respond).layer))

/** Serves the API on any free port. */
export const layer = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
  Layer.provideMerge(
    NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: "1 second" })
  )
)
