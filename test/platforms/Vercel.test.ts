import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { doubling } from "./support/Doubling.ts"
import * as Project from "./support/Project.ts"

const execFile = promisify(ChildProcess.execFile)

const launcher = Path.join(import.meta.dirname, "support/vercel-launcher.ts")

let project: Project.Project

const folder = (): string => Path.join(project.path, "my-function")
const output = (): string => Path.join(folder(), ".vercel/output")

/** Links the project as `vercel link` does, but to a project that does not exist, so that nothing asks the network for it. */
const link = (): void => {
  Fs.mkdirSync(Path.join(folder(), ".vercel"))
  const settings = { framework: null, nodeVersion: "24.x" }
  const linked = { projectId: "prj_none", orgId: "team_none", settings }
  Fs.writeFileSync(Path.join(folder(), ".vercel/project.json"), JSON.stringify(linked))
}

const build = (): void => {
  const vercel = Path.join(Project.toolsOf("vercel"), ".bin/vercel")
  const env = { VERCEL_TELEMETRY_DISABLED: "1" }
  Project.run(vercel, ["build", "--yes", "--token", "none"], { cwd: folder(), env })
}

describe.skipIf(!Project.hasTools("vercel"))("the route of the example, built by the tool of Vercel", () => {
  beforeAll(() => {
    project = Project.makeFolder()
    Project.follow(project, { readme: "examples/vercel/README.md", name: "my-function" })
    link()
    build()
  }, 240_000)
  afterAll(() => project.remove())

  it("is one function, and no source is published", () => {
    const files = Fs.readdirSync(Path.join(output(), "static"), { recursive: true })
    assert.deepStrictEqual(files, ["index.html"])
    assert.deepStrictEqual(Fs.readdirSync(Path.join(output(), "functions/api")), ["double.func"])
  })

  it.live(
    "answers, shares a connection between requests, and has none when the platform may freeze the instance",
    () =>
      Effect.gen(function*() {
        const server = yield* doubling
        const func = Path.join(output(), "functions/api/double.func")
        const { handler }: { readonly handler: string } = JSON.parse(
          Fs.readFileSync(Path.join(func, ".vc-config.json"), "utf8")
        )
        const urls = [4, 21].map((n) => `http://localhost/api/double?n=${n}`)
        const env = { ...process.env, AGENTS_ENDPOINT: `127.0.0.1:${server.endpoint.port}` }
        const { stderr, stdout } = yield* Effect.promise(() =>
          execFile(process.execPath, [launcher, Path.join(func, handler), ...urls], { env })
        )
        assert.deepStrictEqual([JSON.parse(stdout), stderr], [[{ doubled: 8 }, { doubled: 42 }], ""])
        yield* server.drained
        assert.deepInclude(server.account, { opened: 1, peak: 1, graceful: 1 })
      }),
    60_000
  )
})
