/**
 * The programs of docs/start, run as the pages say, each as a process of its own: they answer, show their pools, say 503 while a
 * server is away, and leave nothing at SIGTERM.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import { FaultProxy } from "effect-sluice/Testing"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { createClient } from "redis"
import * as Databases from "../contract/servers/Databases.ts"
import { describeWith, ports } from "../support/LiveServers.ts"
import { type ShownRequest, startPage } from "../support/StartPage.ts"

const root = Path.resolve(import.meta.dirname, "../..")

interface Program {
  /** Its files by their names. `main.ts` is the one to start. */
  readonly files: Readonly<Record<string, string>>
  /** What it is called at the servers. */
  readonly name: string
}

/** The program of a page, with a free port for the operator, and a name of its own at the servers. */
const programOf = (page: string, change = (main: string) => main): Program => {
  const { files: shownFiles } = startPage(page)
  const files = { ...shownFiles, "main.ts": change(shownFiles["main.ts"] ?? "") }
  const { "main.ts": main } = files
  assert.include(main, "Main.launch(App)")
  const [, shown = ""] = /applicationName: Config\.succeed\("([^"]+)"\)/.exec(Object.values(files).join("\n")) ?? []
  const name = `${shown}-${process.pid}`
  const free = main.replace(
    /layerServer\((?:\{ )?/,
    (call) => call.endsWith("{ ") ? `${call}port: 0, ` : `${call}{ port: 0 }`
  )
  assert.match(free, /layerServer\(\{ port: 0/)
  const own = Object.entries({ ...files, "main.ts": free }).map(([file, text]) => [
    file,
    text.replaceAll(`"${shown}"`, `"${name}"`).replaceAll(`\`${shown}:`, `\`${name}:`)
  ])
  return { files: Object.fromEntries(own), name }
}

interface Running {
  readonly child: ChildProcess.ChildProcess
  readonly api: string
  readonly operations: string
  /** What it has printed until now. */
  readonly output: () => string
}

/** The files of a program in a folder of their own, which has the packages of this checkout. */
const saved = ({ files }: Program) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-start-"))
      Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(folder, "node_modules"))
      Fs.writeFileSync(Path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
      for (const [file, text] of Object.entries(files)) Fs.writeFileSync(Path.join(folder, file), text)
      return folder
    }),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
  )

/** Starts a program, waits until both of its servers listen, and ends it with the scope. */
const started = (program: Program, env: Record<string, string>) =>
  Effect.gen(function*() {
    const folder = yield* saved(program)
    const sources = `--import=${pathToFileURL(Path.join(root, "scripts/sources.mjs")).href}`
    return yield* Effect.acquireRelease(
      Effect.callback<Running>((resume) => {
        const options = { cwd: folder, env: { ...process.env, PORT: "0", ...env } }
        const child = ChildProcess.spawn(process.execPath, [sources, "main.ts"], options)
        let output = ""
        const onData = (data: unknown) => {
          output += String(data)
          const [, api] = /Listening on http:\/\/[^\s]*:(\d+)/.exec(output) ?? []
          const [, operations] = /operations at (http:\/\/[^\s]*:\d+)\//.exec(output) ?? []
          if (api === undefined || operations === undefined) return
          resume(Effect.succeed({ child, api: `http://127.0.0.1:${api}`, operations, output: () => output }))
        }
        child.stdout.on("data", onData)
        child.stderr.on("data", onData)
        child.once("exit", () => resume(Effect.die(new Error(`it has ended: ${output}`))))
      }),
      ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
    )
  })

/** The declaration of `Observed` in a text. */
const observed = /^const Observed = [\s\S]*?Layer\.provideMerge\(Operations\.layer\)\)$/m

/** The program of whole-program.md with the settings of first-deployment.md. */
const deployed = (main: string): string => {
  const page = Fs.readFileSync(Path.join(root, "docs/start/first-deployment.md"), "utf8")
  const [replacement] = observed.exec(page) ?? assert.fail("the page has no Observed")
  assert.match(main, observed)
  return main.replace(observed, () => replacement)
}

/** Calls `sluice` from this checkout. */
const sluice = (args: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.callback<{ readonly status: number | string; readonly stdout: string; readonly stderr: string }>((resume) => {
    const cli = [Path.join(root, "src/Cli/main.ts"), ...args]
    ChildProcess.execFile(process.execPath, cli, { env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resume(Effect.succeed({ status: error?.code ?? 0, stdout, stderr }))
    })
  })

const get = (url: string) =>
  Effect.gen(function*() {
    const response = yield* HttpClient.get(url)
    return { status: response.status, body: yield* response.text, retryAfter: response.headers["retry-after"] }
  }).pipe(Effect.orDie, Effect.provide(FetchHttpClient.layer))

const post = (url: string, body: string, type: string) =>
  HttpClient.post(url, { body: HttpBody.text(body, type) }).pipe(
    Effect.flatMap((response) => Effect.map(response.text, (text) => ({ status: response.status, body: text }))),
    Effect.orDie,
    Effect.provide(FetchHttpClient.layer)
  )

/** Asks as a line of `curl` of a page does. The answer is the one that the page has. */
const agrees = (api: string, { answer, body, path, status }: ShownRequest) =>
  Effect.gen(function*() {
    const got = yield* body === undefined ? get(`${api}${path}`) : post(`${api}${path}`, body.text, body.type)
    assert.strictEqual(got.body.split("\n")[0], answer, path)
    if (status === undefined) assert.match(`${got.status}`, /^2/, path)
    else assert.strictEqual(got.status, status, path)
  })

/** The first number with three digits in a text: a status. */
const statusIn = (text: string): number => Number(/\b\d{3}\b/.exec(text)?.[0])

const until = <A>(effect: Effect.Effect<A>, holds: (value: A) => boolean) =>
  Effect.retry(
    Effect.filterOrFail(effect, holds),
    { schedule: Schedule.spaced("20 millis"), times: 300 }
  )

const ended = (child: ChildProcess.ChildProcess) =>
  Effect.callback<number | null>((resume) => {
    child.once("exit", (status) => resume(Effect.succeed(status)))
    child.kill("SIGTERM")
  })

/** Removes a key of the shared Redis with the scope. */
const forgotten = (key: string) =>
  Effect.addFinalizer(() =>
    Effect.promise(async () => {
      const client = await createClient({ url: `redis://127.0.0.1:${ports.Redis}` }).connect()
      await client.del(key)
      await client.close()
    })
  )

const withServers = await describeWith("PostgreSQL", "Redis")

withServers("the pages of docs/start", () => {
  it.live(
    "first-pool.md answers from its one session, goes through an outage, and leaves no session at SIGTERM",
    () =>
      Effect.gen(function*() {
        const database = yield* Databases.postgres
        const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.PostgreSQL))
        const program = programOf("first-pool")
        const { name } = program
        const { api, child, operations, output } = yield* started(program, {
          DATABASE_URL: `postgres://postgres@${proxy.endpoint}/postgres`
        })
        assert.strictEqual(yield* database.sessions(name), 0)
        const { requests } = startPage("first-pool")
        assert.deepStrictEqual(requests.map(({ path }) => path), ["/double/21"])
        for (const request of requests) yield* agrees(api, request)
        assert.strictEqual(yield* database.sessions(name), 1)
        const { pools } = JSON.parse((yield* get(`${operations}/pools.json`)).body)
        assert.deepInclude(pools[0], { name: "postgres", maxTotal: 10 })
        assert.strictEqual(pools.length, 1)

        // The database stops: a request fails after the attempts of `retry`, and the log has the reason. It starts again: the next one succeeds.
        yield* proxy.refuse
        yield* proxy.reset
        assert.strictEqual((yield* get(`${api}/double/21`)).status, 500)
        // The line of the request is logged after its answer.
        const logged = yield* until(Effect.sync(output), (text) => text.includes("'http.status': 500"))
        assert.match(logged, /failed after 6 attempts in [345]s( \d+ms)?, of at most 6; [^\n]*ECONNREFUSED/)
        assert.include((yield* get(`${operations}/pools.json`)).body, "ECONNREFUSED")
        yield* proxy.accept
        for (const request of requests) yield* agrees(api, request)

        assert.strictEqual(yield* ended(child), 143)
        yield* until(database.sessions(name), (left) => left === 0)
      }),
    30_000
  )

  it.live(
    "whole-program.md answers 503 while its database is away and 504 while it is frozen, retires at SIGTERM, and leaves nothing",
    () =>
      Effect.gen(function*() {
        const database = yield* Databases.postgres
        const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.PostgreSQL))
        const program = programOf("whole-program")
        const { name } = program
        yield* forgotten(`${name}:ada`)
        const { api, child, operations, output } = yield* started(program, {
          DATABASE_URL: `postgres://postgres@${proxy.endpoint}/postgres`,
          RETIRE_DELAY: "1 second"
        })
        const { happens, requests } = startPage("whole-program")
        const paths = ["/double/21", "/visit/ada", "/orders", "/orders"]
        assert.deepStrictEqual(requests.map(({ path }) => path), paths)
        for (const request of requests) yield* agrees(api, request)
        const ordered = (body: string) => post(`${api}/orders`, body, "application/json")
        const tooFew = yield* ordered(`{ "price": 250, "quantity": 0 }`)
        assert.strictEqual(tooFew.body, "Expected a value between 1 and 100\n  at [\"quantity\"]\n")
        assert.strictEqual((yield* ordered(`{ "price": 250, "quantity": 3 }`)).status, 201)
        assert.deepStrictEqual(yield* ordered(`{ "price": `), { status: 400, body: "the body is not JSON\n" })
        const wrong = yield* get(`${api}/double/abc`)
        assert.deepStrictEqual([wrong.status, wrong.body.split("\n")[0]], [400, "Expected a finite number"])
        assert.strictEqual((yield* get(`${operations}/readyz`)).status, 200)
        const { pools } = JSON.parse((yield* get(`${operations}/pools.json`)).body)
        assert.includeMembers(pools.map((pool: { readonly name: string }) => pool.name), ["database", "cache"])

        yield* proxy.refuse
        yield* proxy.reset
        const whenAway = statusIn(happens("stop PostgreSQL"))
        const away = yield* until(get(`${api}/double/21`), ({ status }) => status === whenAway)
        assert.isAtLeast(Number(away.retryAfter), 1)
        assert.strictEqual((yield* get(`${api}/visit/ada`)).status, 200)
        const whenDown = statusIn(happens("`/readyz`"))
        const notReady = yield* until(get(`${operations}/readyz`), ({ status }) => status === whenDown)
        assert.include(notReady.body, "PoolDown")
        yield* proxy.accept
        yield* until(get(`${api}/double/21`), ({ status }) => status === 200)

        // The session has just been used, so that it is leased without a check, and the statement gets no answer.
        yield* proxy.freeze
        const frozen = yield* get(`${api}/double/21`)
        assert.strictEqual(frozen.status, statusIn(happens("freeze PostgreSQL")))
        assert.include(frozen.body, "not answered in time")
        yield* proxy.thaw
        yield* until(get(`${api}/double/21`), ({ status }) => status === 200)

        const status = yield* Effect.forkChild(ended(child), { startImmediately: true })
        const retiring = yield* until(get(`${operations}/readyz`), ({ status }) => status === 503)
        assert.include(retiring.body, "Retiring")
        assert.include(output(), "The program ends: SIGTERM. It waits for ")
        assert.strictEqual((yield* get(`${api}/double/4`)).body, `{"doubled":8}`)
        assert.strictEqual(yield* Fiber.join(status), statusIn(happens("SIGTERM")))
        assert.match(output(), /Everything is closed, \d+m?s( \d+ms)? after the program began to end/)
        yield* until(database.sessions(name), (left) => left === 0)
      }),
    30_000
  )

  it.live(
    "first-deployment.md shows the pools only with the token, which `sluice` takes from SLUICE_TOKEN, and answers probes without it",
    () =>
      Effect.gen(function*() {
        const SLUICE_TOKEN = "0123456789abcdef"
        const { api, child, operations } = yield* started(programOf("whole-program", deployed), {
          SLUICE_TOKEN,
          RETIRE_DELAY: "1 millis"
        })
        const { port } = new URL(operations)
        assert.strictEqual((yield* get(`${api}/double/21`)).status, 200)
        const open = yield* Effect.forEach(["livez", "readyz", "metrics"], (path) =>
          get(`http://127.0.0.1:${port}/${path}`))
        assert.deepStrictEqual(
          open.map(({ status }) =>
            status
          ),
          [200, 200, 200]
        )
        assert.strictEqual((yield* get(`http://127.0.0.1:${port}/pools.json`)).status, 401)
        assert.include((yield* sluice(["pools", `localhost:${port}`], { SLUICE_TOKEN: "" })).stderr, "SLUICE_TOKEN")
        const shown = yield* sluice(["pools", `localhost:${port}`], { SLUICE_TOKEN })
        assert.deepInclude(shown, { status: 0, stderr: "" })
        assert.include(shown.stdout, "database")
        assert.strictEqual(yield* ended(child), 143)
      }),
    30_000
  )
})
