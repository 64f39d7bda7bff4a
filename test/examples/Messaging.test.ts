/**
 * The examples of message brokers, against the real ones and against a port at which nothing answers.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { describeWith } from "../support/LiveServers.ts"
import * as TcpServer from "../support/TcpServer.ts"

const root = Path.resolve(import.meta.dirname, "../..")

/** Runs an example as a process of its own, which ends by itself. */
const run = (name: string, env: Record<string, string> = {}) =>
  Effect.callback<string>((resume) => {
    ChildProcess.execFile(
      process.execPath,
      ["--import", "./scripts/sources.mjs", `examples/${name}.ts`],
      { cwd: root, env: { ...process.env, ...env }, timeout: 30_000 },
      (error, stdout, stderr) =>
        resume(Effect.sync(() => {
          assert.isNull(error, stderr)
          return stdout
        }))
    )
  })

const withRabbitMQ = await describeWith("RabbitMQ")
withRabbitMQ("examples/amqp.ts", () => {
  it.live("sends and receives by channels of shared connections", () =>
    Effect.gen(function*() {
      assert.match(yield* run("amqp"), /^50 of 50 messages came back, over [12] connections\n$/)
    }), 30_000)
})

const withNats = await describeWith("NATS")
withNats("examples/nats.ts", () => {
  it.live("asks and answers over one connection", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* run("nats"), "50 of 50 requests were answered, over 1 connection\n")
    }), 30_000)
})

describe("an example of a message broker", () => {
  it.live.each(
    [
      ["amqp", (port: number) => ({ AMQP_URL: `amqp://127.0.0.1:${port}` })],
      ["nats", (port: number) => ({ NATS_SERVER: `127.0.0.1:${port}` })]
    ] as const
  )(
    "says why it shows nothing at a server that accepts and says nothing, and ends: %s",
    ([name, env]) =>
      Effect.scoped(Effect.gen(function*() {
        const server = yield* TcpServer.silent
        assert.match(yield* run(name, env(server.endpoint.port)), /^skipped: /)
        assert.isAtLeast(server.account.opened, 1)
        yield* server.drained
        assert.strictEqual(server.sockets.size, 0)
      })),
    30_000
  )
})
