/**
 * A program that builds a function's layer, uses it, and ends: nothing of it may keep the process alive.
 */
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Lambda from "effect-sluice/Lambda"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"

class Databases extends ConnectionPool.Service<Databases>()("test/Databases", {
  connector: Connector.make({ open: (name: string) => Effect.succeed({ name }) }),
  ...ConnectionPool.serverless
}) {}

const handler = Lambda.handler({
  between: "keep",
  layer: Databases.layer.pipe(Layer.provide(ResourceMonitor.layer)),
  handle: () => Databases.withConnection("db", ({ name }) => Effect.succeed(name))
})

await Lambda.ready()
// An idle connection, for which the pool has a timer of half a minute.
const answer = await handler({}, { getRemainingTimeInMillis: () => 60_000 } as Lambda.LambdaContext)
// What is still to be done of the invocation itself is over with this turn of the event loop; a timer is not.
await new Promise((resolve) => setImmediate(resolve))
const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout" || name === "Immediate")
console.log(JSON.stringify({ answer, timers, now: Date.now() }))
