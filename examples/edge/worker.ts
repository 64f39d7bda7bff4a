/**
 * A worker to deploy, whose sockets are closed with their requests: see README.md beside it.
 */
import { Effect, Layer } from "effect"
import * as Edge from "effect-sluice/Edge"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { Agents, layerOf } from "../agents/Agents.ts"

interface Bindings {
  readonly AGENTS_ENDPOINT: string
}

const double = (request: Request) =>
  Effect.gen(function*() {
    const n = Number(new URL(request.url).searchParams.get("n"))
    const { double } = yield* Agents
    return Response.json({ doubled: yield* double(n) })
  }).pipe(
    // An error of the pool or of the peer becomes a 503.
    Effect.catch((error) => Effect.succeed(Response.json({ error: error.message }, { status: 503 })))
  )

export default {
  fetch: Edge.handler({
    // A worker has no descriptors to count.
    layer: (env: Bindings) => layerOf(env.AGENTS_ENDPOINT).pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
    handle: double,
    timeout: "10 seconds"
  })
}
