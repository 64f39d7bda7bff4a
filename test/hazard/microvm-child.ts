/**
 * A function whose machine stands still between two invocations. Each line on stdin is an invocation; it prints how it went.
 *
 * Usage: node microvm-child.ts VARIANT HOST PORT
 */
import { Effect, Layer } from "effect"
import * as Readline from "node:readline"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as JsonRpcClient from "../../src/Resource/JsonRpcClient.ts"
import * as Lambda from "../../src/Serverless/Lambda.ts"

const [variant, host, port] = process.argv.slice(2)

/** Without MCP there is nothing that every server answers, so that this client cannot ask by itself. */
const unchecked = JsonRpcClient.connector({ requestTimeout: "10 seconds" })

const checked = Connector.make({
  ...unchecked,
  check: (client: JsonRpcClient.JsonRpcClient) => Effect.asVoid(client.request("ping"))
})

class Peers extends ConnectionPool.Service<Peers>()("test/Peers", {
  ...ConnectionPool.serverless,
  connector: variant === "check" ? checked : unchecked,
  idleTimeout: variant === "age" ? "1 second" : "30 seconds"
}) {}

const handler = Lambda.handler({
  between: "keep",
  layer: Peers.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
  handle: () => Peers.withConnection(Endpoint.tcp(host ?? "", Number(port)), (client) => client.request("hello"))
})

// Only what is asked for here is used of it.
const context = { getRemainingTimeInMillis: () => 6000 } as Lambda.LambdaContext

Readline.createInterface(process.stdin).on("line", () => {
  const start = performance.now()
  handler({}, context).then(
    (answer) => console.log(JSON.stringify({ answer, millis: performance.now() - start })),
    (error: unknown) => console.log(JSON.stringify({ error: String(error), millis: performance.now() - start }))
  )
})

console.log("loaded")
