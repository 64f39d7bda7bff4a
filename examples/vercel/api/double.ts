/**
 * A route to deploy on Vercel: see README.md beside it.
 */
import { Effect, Layer } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Vercel from "effect-sluice/Vercel"
import { Agents, layer } from "./_agents.ts"

/** A short idle time, because the last request holds the instance for it. */
const agents = layer({ idleTimeout: "5 seconds" }).pipe(Layer.provide(ResourceMonitor.layer))

/**
 * `maxDuration` is the same as in vercel.json. The server has room for the connections of all instances, so that they are kept for later
 * requests.
 */
const instance = Vercel.attach(agents, { between: "keep", maxDuration: "30 seconds" })

const double = (request: Request) =>
  Effect.gen(function*() {
    const n = Number(new URL(request.url).searchParams.get("n"))
    const { double } = yield* Agents
    return Response.json({ doubled: yield* double(n) })
  }).pipe(
    // An error of the pool or of the peer becomes a 503.
    Effect.catch((error) => Effect.succeed(Response.json({ error: error.message }, { status: 503 })))
  )

export const GET = (request: Request): Promise<Response> => instance.run(double(request), { signal: request.signal })
