/**
 * A process with one open connection and nothing else to do. It prints `idle` when an exchange is over, and never closes.
 *
 * Usage: node idle-child.ts connect|pool|json-rpc|tls PORT on|off [wait]. With `wait` it asks for an answer that comes late, and
 * prints it.
 */
import { Effect, Scope } from "effect"
import * as Fs from "node:fs"
import * as Monitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as JsonRpcClient from "../../src/Resource/JsonRpcClient.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"

const [mode, port, option, wait] = process.argv.slice(2)

const endpoint = Endpoint.tcp("127.0.0.1", Number(port))
const options = { allowExitOnIdle: option === "on" }

const print = (text: string) => void Fs.writeSync(1, `${text}\n`)

const exchange = (connection: TcpConnection.TcpConnection) =>
  Effect.gen(function*() {
    yield* connection.write("at once")
    yield* connection.read
    print("idle")
    if (wait === undefined) return
    yield* connection.write("late")
    print(new TextDecoder().decode(yield* connection.read))
  })

const program = Effect.gen(function*() {
  if (mode === "json-rpc") {
    const client = yield* JsonRpcClient.connect(endpoint, options)
    yield* client.request("at once")
    print("idle")
    return wait === undefined ? undefined : print(String(yield* client.request("late")))
  }
  if (mode === "pool") {
    const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector(options), idleTimeout: "1 hour" })
    return yield* ConnectionPool.use(pool, endpoint, exchange)
  }
  const tls = mode === "tls" ? { rejectUnauthorized: false } : false
  return yield* exchange(yield* TcpConnection.connect(endpoint, { ...options, tls }))
})

const scope = Scope.makeUnsafe()
Effect.runFork(Effect.provide(Scope.provide(program, scope), Monitor.layerUnlimited))
