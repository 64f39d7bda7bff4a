/**
 * An instance on a platform that ends it with SIGTERM. It prints `ready` when it has idle connections and one in use.
 *
 * Usage: node platform-child.ts PLATFORM PORT
 */
import { Deferred, Effect, Exit, Layer } from "effect"
import * as Fs from "node:fs"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"
import * as CloudRun from "../../src/Serverless/CloudRun.ts"
import * as Vercel from "../../src/Serverless/Vercel.ts"

const [platform, port] = process.argv.slice(2)
const endpoint = Endpoint.tcp("127.0.0.1", Number(port))

class Peers extends ConnectionPool.Service<Peers>()("test/Peers", {
  connector: TcpConnection.connector(),
  maxPerEndpoint: 4
}) {}

const peers = Peers.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited))

/** Opens four connections, gives back three and keeps one. */
const busy = Effect.gen(function*() {
  const all = Deferred.makeUnsafe<void>()
  let open = 0
  const one = (keeps: boolean) =>
    Peers.withConnection(endpoint, (connection) =>
      Effect.gen(function*() {
        yield* connection.write("x")
        if (++open === 4) Deferred.doneUnsafe(all, Exit.void)
        yield* Deferred.await(all)
        if (!keeps) return
        yield* Effect.sleep("50 millis")
        Fs.writeSync(1, "ready\n")
        return yield* Effect.never
      }))
  yield* Effect.all([one(true), one(false), one(false), one(false)], { concurrency: "unbounded", discard: true })
})

/** A finalizer that outlasts every window. */
const stuck = Layer.effectDiscard(Effect.addFinalizer(() => Effect.sleep("1 hour")))

const program: Record<string, () => void> = {
  "CloudRun.launch": () => CloudRun.launch(Layer.provide(Layer.effectDiscard(Effect.forkScoped(busy)), peers)),
  "CloudRun.launch, stuck": () =>
    CloudRun.launch(Layer.mergeAll(Layer.provide(Layer.effectDiscard(Effect.forkScoped(busy)), peers), stuck), {
      shutdownWindow: "1 second"
    }),
  "CloudRun.run": () => CloudRun.run(busy, { layer: peers }),
  "CloudRun.attach": () => void CloudRun.attach(peers).run(busy).catch(() => {}),
  "Vercel.attach": () => void Vercel.attach(peers, { waitUntil: () => {} }).run(busy).catch(() => {})
}

program[platform ?? ""]?.()
