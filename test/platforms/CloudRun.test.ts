import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Dockerfile from "./support/Dockerfile.ts"
import { doublingAfter } from "./support/Doubling.ts"
import * as Project from "./support/Project.ts"

let project: Project.Project
let image: Dockerfile.Image

const context = (): string => Path.join(project.path, "my-service")
const folder = (): string => Path.join(project.path, "image")

/** A port that is free now. */
const freePort = async (): Promise<number> => {
  const server = Net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as Net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const start = (env: Readonly<Record<string, string>>) => {
  const [command = "", ...args] = image.command
  // The node of the image is the one that runs this test.
  assert.strictEqual(command, "node")
  const service = ChildProcess.spawn(process.execPath, args, {
    cwd: folder(),
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env }
  })
  let output = ""
  for (const stream of [service.stdout, service.stderr]) stream.on("data", (data) => void (output += String(data)))
  return { service, output: () => output, ended: once(service, "close") }
}

const ask = async (port: number, n: number): Promise<unknown> => {
  // oxlint-disable-next-line effecttsgo/global-fetch
  const response = await fetch(`http://127.0.0.1:${port}/?n=${n}`)
  return [response.status, response.headers.get("connection"), await response.json()]
}

/** The first answer of a service that is starting. */
const firstAnswer = async (port: number, service: ChildProcess.ChildProcess): Promise<unknown> => {
  for (;;) {
    try {
      return await ask(port, 4)
    } catch (error) {
      if (service.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

describe("the service of the example, built by the lines of its Dockerfile", () => {
  beforeAll(() => {
    project = Project.makeFolder()
    Project.follow(project, { readme: "examples/cloudrun/README.md", name: "my-service" })
    for (const name of [".env", ".env.production", "cloudrun/.env", ".git/config", "npm-debug.log", "agents/out.log"]) {
      const file = Path.join(context(), name)
      Fs.mkdirSync(Path.dirname(file), { recursive: true })
      Fs.writeFileSync(file, "secret")
    }
    Fs.mkdirSync(folder())
    image = Dockerfile.build(context(), folder())
  }, 240_000)
  afterAll(() => project.remove())

  it("has the files of the service and its packages, and neither secrets nor logs", () => {
    const own = image.files.filter((file) => !file.startsWith("node_modules"))
    assert.sameMembers(own, [
      "agents",
      "agents/Agents.ts",
      "cloudrun",
      "cloudrun/main.ts",
      "package-lock.json",
      "package.json"
    ])
    assert.includeMembers([...image.files], [
      "node_modules/effect/package.json",
      "node_modules/effect-sluice/package.json"
    ])
  })

  it("begins with the version of Node that runs this test", () => {
    assert.match(image.from, new RegExp(`^node:${process.versions.node.split(".")[0]}-`))
  })

  it.live("answers the request under way at SIGTERM, closes everything, and ends with 0", () =>
    Effect.gen(function*() {
      const server = yield* doublingAfter(800)
      const port = yield* Effect.promise(freePort)
      const { ended, output, service } = start({
        PORT: String(port),
        AGENTS_ENDPOINT: `127.0.0.1:${server.endpoint.port}`
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => service.kill("SIGKILL")))
      assert.deepStrictEqual(yield* Effect.promise(() => firstAnswer(port, service)), [200, "keep-alive", {
        doubled: 8
      }])
      const underWay = ask(port, 21)
      yield* Effect.sleep("200 millis")
      service.kill("SIGTERM")
      assert.deepStrictEqual(yield* Effect.promise(() => underWay), [200, "close", { doubled: 42 }])
      const [status, signal] = yield* Effect.promise(() => ended)
      assert.deepStrictEqual([status, signal, output()], [0, null, ""])
      yield* server.drained
      assert.deepInclude(server.account, { opened: 1, peak: 1, graceful: 1, broken: 0 })
    }), 60_000)
})
