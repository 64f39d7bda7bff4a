/**
 * An API over servers that misbehave, with its status page. It needs no other program.
 *
 * Run it with `npm run operations`, and open the address that it prints.
 */
import { Console, Effect, Layer, Redacted } from "effect"
import * as Main from "effect-sluice/Main"
import * as Operations from "effect-sluice/Operations"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as HttpServer from "effect/http/HttpServer"
import { parseArgs } from "node:util"
import * as Api from "./Api.ts"
import * as Load from "./Load.ts"
import * as Pools from "./Pools.ts"
import * as Servers from "./Servers.ts"

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "9464" },
    token: { type: "string", default: "operations-demo-token" }
  }
})

/** The page, `/pools.json`, `/metrics` and the probes, on a port of their own. Orders and searches must work for the program to be ready. */
const Page = OperationsHttp.layerServer({
  port: Number(values.port),
  token: Redacted.make(values.token),
  required: ["orders", "search"]
})

const welcome = Layer.effectDiscard(Effect.gen(function*() {
  const { url } = yield* OperationsHttp.Server
  yield* Console.log(`The page:    ${url}`)
  yield* Console.log(`Its token:   ${values.token} (it asks for it before it changes anything)`)
}))

const apiAddress = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) =>
    Console.log(
      `The API:     ${address}/orders/1\nThe servers fail in turns, each two minutes. Ctrl-C ends everything.\n`
    )
  )
)

/** The page starts first and ends last. With a limit of 250 descriptors, a burst of requests raises the level of the monitor. One monitor is for all pools, and is found by `Operations` too. */
const program = Layer.mergeAll(Load.layer, apiAddress).pipe(
  Layer.provide(Api.layer),
  Layer.provide(Pools.layer),
  Layer.provide(Servers.layer),
  Layer.provide(welcome),
  Layer.provide(Page),
  Layer.provide(Operations.layerOptions({ interval: "1 second" })),
  Layer.provide(ResourceMonitor.layerOptions({ maxDescriptors: 250 }))
)

Main.launch(program)
