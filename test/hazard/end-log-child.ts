/**
 * A program with `Operations` that is ended by SIGTERM after a moment, while a connection is leased.
 *
 * Usage: node end-log-child.ts launch|run|cloudrun json|pretty|none
 */
import { Effect, Layer, Logger } from "effect"
import * as Fs from "node:fs"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as Operations from "../../src/Operations/Operations.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import * as CloudRun from "../../src/Serverless/CloudRun.ts"
import * as Main from "../../src/Serverless/Main.ts"

const [how, logger] = process.argv.slice(2)

const loggers = {
  json: Logger.layer([Logger.consoleJson]),
  pretty: Logger.layer([Logger.consolePretty()]),
  default: Layer.empty
}[logger === "json" || logger === "pretty" ? logger : "default"]

const print = (text: string) => Effect.sync(() => Fs.writeSync(1, `${text}\n`))

const work = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({
    connector: Connector.make({ open: (name: string) => Effect.succeed(name) })
  })
  const leased = ConnectionPool.use(pool, "db", () => Effect.never)
  yield* Effect.forkScoped(leased, { startImmediately: true })
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sleep("300 millis"), print("data")))
  // As a server does, it keeps the event loop alive.
  setInterval(() => {}, 60_000)
  setTimeout(() => process.kill(process.pid, "SIGTERM"), 50)
})

// As in a real program, the loggers are provided to the layers, and are not a part of what the layer of the program provides.
const layer = Layer.effectDiscard(work).pipe(
  Layer.provide(Operations.layerOptions({ logs: logger !== "none" })),
  Layer.provide(ResourceMonitor.layerUnlimited),
  Layer.provide(loggers)
)

if (how === "cloudrun") CloudRun.launch(layer)
else if (how === "run") Main.run(Effect.never, { layer })
else Main.launch(layer)
