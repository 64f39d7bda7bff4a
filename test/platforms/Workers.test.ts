import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Path from "node:path"
import { eventually } from "../support/TcpServer.ts"
import { doubling } from "./support/Doubling.ts"
import * as Project from "./support/Project.ts"

/** The part of a runtime that these tests use. */
interface Runtime {
  readonly dispatchFetch: (url: string) => Promise<Response>
  readonly dispose: () => Promise<void>
}

const tools = Project.toolsOf("workers")

let project: Project.Project

const folder = (): string => Path.join(project.path, "my-worker")

const readme = "examples/edge/README.md"

/** The arguments of wrangler in README. */
const deployment = (): ReadonlyArray<string> => {
  const command = Project.commandsOf(readme).find((line) => line.startsWith("npx wrangler deploy "))
  assert(command !== undefined, `${readme} has no command that deploys`)
  return command.split(" ").slice(2)
}

/** Builds the worker as README deploys it. The result is the script, and what wrangler has printed. */
const bundle = () => {
  const wrangler = Path.join(tools, ".bin/wrangler")
  const out = Path.join(folder(), "out")
  const env = { WRANGLER_SEND_METRICS: "false", CI: "true" }
  const output = Project.run(wrangler, [...deployment(), "--dry-run", "--outdir", out], { cwd: folder(), env })
  return { script: Fs.readFileSync(Path.join(out, "worker.js"), "utf8"), output }
}

/** The real runtime with the worker of the example, as its configuration says. */
const start = (script: string, endpoint: string): Runtime => {
  const { Miniflare } = createRequire(Path.join(tools, "wrangler/package.json"))("miniflare")
  const configuration = Fs.readFileSync(Path.join(folder(), "edge/wrangler.toml"), "utf8")
  const compatibilityDate = /compatibility_date = "(.*)"/.exec(configuration)?.[1]
  return new Miniflare({
    modules: true,
    script,
    compatibilityDate,
    compatibilityFlags: ["nodejs_compat"],
    bindings: { AGENTS_ENDPOINT: endpoint }
  })
}

describe.skipIf(!Project.hasTools("workers"))("the worker of the example, built by wrangler and run by workerd", () => {
  beforeAll(() => {
    project = Project.makeFolder()
    Project.follow(project, { readme, name: "my-worker", tools: ["wrangler"] })
  }, 120_000)
  afterAll(() => project.remove())

  it.live("answers every request, and closes the connection of each gracefully", () =>
    Effect.gen(function*() {
      const server = yield* doubling
      const { output, script } = bundle()
      // Wrangler hides the values of its command line, and shows those of the configuration, which would be the same for each reader.
      assert.match(output, /env\.AGENTS_ENDPOINT \("\(hidden\)"\)/)
      const runtime = yield* Effect.acquireRelease(
        Effect.sync(() => start(script, `127.0.0.1:${server.endpoint.port}`)),
        (runtime) => Effect.promise(() => runtime.dispose())
      )
      for (let n = 1; n <= 15; n++) {
        const response = yield* Effect.promise(() => runtime.dispatchFetch(`http://localhost/?n=${n}`))
        assert.deepStrictEqual([response.status, yield* Effect.promise(() => response.text())], [
          200,
          JSON.stringify({ doubled: n * 2 })
        ])
      }
      yield* eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { opened: 15, graceful: 15 })
    }), 60_000)
})
