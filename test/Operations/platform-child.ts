/**
 * A program with two pools and Operations. It prints what Operations finds, as JSON.
 *
 * Usage: node platform-child.ts Main|Lambda process|context
 */
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Lambda from "effect-sluice/Lambda"
import * as Main from "effect-sluice/Main"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Fs from "node:fs"

const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })

class Orders extends ConnectionPool.Service<Orders>()("test/Orders", { connector }) {}
class Reports extends ConnectionPool.Service<Reports>()("test/Reports", { connector }) {}

const [platform, scope] = process.argv.slice(2)

const found = Effect.map(
  Operations.snapshot(),
  ({ monitor, pools }) =>
    JSON.stringify({ pools: pools.map(({ name }) => name).toSorted(), monitor: monitor !== undefined })
)

const layer = Layer.mergeAll(
  Operations.layerOptions({ scope: scope === "context" ? "context" : "process" }),
  Orders.layer,
  Reports.layer
).pipe(Layer.provideMerge(ResourceMonitor.layer))

const print = (text: string) => void Fs.writeSync(1, text)

if (platform === "Main") Main.run(Effect.map(found, print), { layer })
else {
  const handler = Lambda.handler({ layer, handle: () => found })
  print(
    await handler({}, {
      awsRequestId: "1",
      functionName: "test",
      functionVersion: "1",
      invokedFunctionArn: "arn",
      memoryLimitInMB: "128",
      logGroupName: "group",
      logStreamName: "stream",
      getRemainingTimeInMillis: () => 3000
    })
  )
  process.exit()
}
