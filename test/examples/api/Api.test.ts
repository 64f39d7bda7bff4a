/**
 * The API of the examples: its routes without servers, and the whole program with a database that restarts under load.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpRouter from "effect/http/HttpRouter"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as Cache from "../../../examples/api/Cache.ts"
import * as Products from "../../../examples/api/Products.ts"
import * as Routes from "../../../examples/api/Routes.ts"
import * as Databases from "../../contract/servers/Databases.ts"
import { describeWith, ports } from "../../support/LiveServers.ts"
import { needs } from "../../support/Servers.ts"

const root = Path.resolve(import.meta.dirname, "../../..")

describe("the routes, with a test layer for each pool", () => {
  const Tested = HttpRouter.serve(Routes.layer, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide([Products.layerTest([{ id: 1, name: "Tea" }]), Cache.layerTest]),
    Layer.provideMerge(NodeHttpServer.layerTest)
  )

  it.live("find a product, in the cache from the second time on, and put one", () =>
    Effect.gen(function*() {
      const get = (id: number | string) =>
        Effect.flatMap(HttpClient.get(`/products/${id}`), (response) =>
          Effect.map(response.json, (body) => [response.status, body]))
      const put = (id: number, body: object) =>
        HttpClientRequest.put(`/products/${id}`).pipe(
          HttpClientRequest.bodyJsonUnsafe(body),
          HttpClient.execute,
          Effect.map(({ status }) =>
            status
          )
        )
      assert.deepStrictEqual(yield* get(1), [200, { id: 1, name: "Tea", cached: false }])
      assert.deepStrictEqual(yield* get(1), [200, { id: 1, name: "Tea", cached: true }])
      assert.deepStrictEqual(yield* get(2), [404, { error: "there is no such product" }])
      assert.deepStrictEqual(yield* get("x"), [400, { error: "the request is not valid" }])
      assert.strictEqual(yield* put(1, { name: "Coffee" }), 204)
      assert.deepStrictEqual(yield* get(1), [200, { id: 1, name: "Coffee", cached: false }])
      assert.strictEqual(yield* put(1, { title: "Coffee" }), 400)
    }).pipe(Effect.provide(Tested)))
})

/** Starts the program, and ends it with the scope. */
const started = (env: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly child: ChildProcess.ChildProcess; readonly url: string }>((resume) => {
      const child = ChildProcess.spawn(
        process.execPath,
        ["--import", "./scripts/sources.mjs", "examples/api/main.ts"],
        { cwd: root, env: { ...process.env, PORT: "0", ...env } }
      )
      let output = ""
      const onData = (data: unknown) => {
        output += String(data)
        const [, port] = /Listening on http:\/\/[^\s]*:(\d+)/.exec(output) ?? []
        if (port !== undefined) resume(Effect.succeed({ child, url: `http://127.0.0.1:${port}` }))
      }
      child.stdout.on("data", onData)
      child.stderr.on("data", onData)
      child.once("exit", () => resume(Effect.die(new Error(`it has ended: ${output}`))))
    }),
    ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
  )

/** The status and the text of an answer. */
const answerTo = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.orDie(
    Effect.flatMap(HttpClient.execute(request), (response) =>
      Effect.map(response.text, (body) => ({ status: response.status, body })))
  )

const ended = (child: ChildProcess.ChildProcess) =>
  Effect.callback<number | null>((resume) => {
    child.once("exit", (status) => resume(Effect.succeed(status)))
    child.kill("SIGTERM")
  })

const withRedis = await describeWith("Redis")

withRedis("the program", () => {
  needs("initdb", "postgres")(
    "goes through a restart of its database under load, and leaves nothing at SIGTERM",
    () =>
      Effect.gen(function*() {
        const database = yield* Databases.ownPostgres
        const cache = yield* Databases.redis
        const { child, url } = yield* started({
          DATABASE_URL: `postgres://postgres@127.0.0.1:${database.port}/postgres`,
          REDIS_URL: `redis://127.0.0.1:${ports.Redis}`,
          DATABASE_CONNECTIONS: "5",
          CACHE_PREFIX: `sluice-api-${process.pid}`
        })
        const get = (id: number) => answerTo(HttpClientRequest.get(`${url}/products/${id}`))
        const put = (id: number) =>
          answerTo(
            HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.put(`${url}/products/${id}`), { name: `name ${id}` })
          )
        assert.deepInclude(yield* put(1), { status: 204 })
        assert.include((yield* get(1)).body, "\"cached\":false")
        assert.include((yield* get(1)).body, "\"cached\":true")
        assert.isAtLeast(yield* cache.sessions("sluice-api"), 1)

        const answers: Array<{ readonly at: number; readonly status: number }> = []
        for (let worker = 0; worker < 20; worker++) {
          let id = worker * 100_000
          yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
            const at = performance.now()
            const { status } = yield* put(++id)
            answers.push({ at, status })
          })))
        }
        yield* Effect.sleep("500 millis")
        assert.isAtMost(yield* database.sessions("sluice-api"), 5)
        yield* database.restart
        const acceptsAt = performance.now()
        yield* Effect.sleep("3 seconds")
        const statuses = new Set(answers.map(({ status }) => status))
        // None has failed in another way: the statements were made again, or the client is asked to come back.
        assert.isTrue([...statuses].every((status) => status === 204 || status === 503), [...statuses].join())
        const later = answers.filter(({ at }) => at > acceptsAt + 2000)
        assert.isAbove(later.length, 20)
        assert.isTrue(later.every(({ status }) => status === 204))
        assert.isAtMost(yield* database.sessions("sluice-api"), 5)

        // It ends by the signal.
        assert.strictEqual(yield* ended(child), 143)
        const left = Effect.flatMap(
          Effect.all([database.sessions("sluice-api"), cache.sessions("sluice-api")]),
          ([sessions, clients]) => sessions + clients === 0 ? Effect.void : Effect.fail("left")
        )
        yield* Effect.retry(left, { schedule: Schedule.spaced("10 millis"), times: 200 })
      }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)),
    60_000
  )
})
