/**
 * A program under `Main` that holds a connection of a pool until a signal ends it. It prints a line as soon as the connection is leased.
 */
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Main from "effect-sluice/Main"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"

const service = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector() })
  yield* ConnectionPool.get(pool, Endpoint.tcp("127.0.0.1", Number(process.env["PORT"])))
  process.stdout.write("leased\n")
})

Main.launch(Layer.provide(Layer.effectDiscard(service), ResourceMonitor.layer))
