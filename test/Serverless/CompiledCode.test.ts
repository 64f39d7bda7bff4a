/**
 * The two ways of `docs/how-to/serverless.md` to deploy compiled code, in a folder that is read-only, moved, and run by another user than that
 * of the build.
 */
import { assert, describe, it } from "@effect/vitest"
import { build, stop } from "esbuild"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

const root = Path.join(import.meta.dirname, "../..")

const guide = Fs.readFileSync(Path.join(root, "docs/how-to/serverless.md"), "utf8")

const fence = (name: string): string => {
  const [, code] = new RegExp("```js " + name.replace(".", "\\.") + "\\n(.*?)```", "s").exec(guide) ?? []
  if (code === undefined) throw new Error(`the guide has no ${name}`)
  return code
}

const program = `
  import * as Effect from "effect/Effect"
  import * as Layer from "effect/Layer"
  import * as Lambda from "${Path.join(root, "src/Serverless/Lambda.ts")}"
  export const handler = Lambda.handler({ layer: Layer.empty, handle: () => Effect.succeed("done") })
  export const ready = Lambda.ready
`

const bundle = async (outfile: string, format: "cjs" | "esm") => {
  await build({
    stdin: { contents: program, resolveDir: root, loader: "ts" },
    outfile,
    format,
    bundle: true,
    platform: "node",
    minify: true,
    logLevel: "error"
  })
  await stop()
}

/** Whether the compile cache of this Node can be moved. It is skipped before 24.12. */
const isPortable = (([major = 0, minor = 0]) => major > 24 || major === 24 && minor >= 12)(
  process.versions.node.split(".").map(Number)
)

/** The user of a deployment, if the tests may become one. */
const user = process.getuid?.() === 0 ? 65_534 : undefined

/** Moves a folder to another path, where nothing can be written to it. */
const deployed = (from: string): string => {
  const to = `${from}-task`
  Fs.renameSync(from, to)
  for (const name of Fs.readdirSync(to, { recursive: true, encoding: "utf8" })) {
    const path = Path.join(to, name)
    Fs.chmodSync(path, Fs.statSync(path).isDirectory() ? 0o555 : 0o444)
  }
  Fs.chmodSync(to, 0o555)
  return to
}

/** Runs a module that prints what it has. */
const output = async (code: string, environment: Record<string, string> = {}) => {
  const { stderr, stdout } = await run(process.execPath, ["--input-type=module", "--eval", code], {
    env: { PATH: process.env["PATH"], ...environment },
    ...(user === undefined ? {} : { uid: user })
  })
  return { stdout, stderr }
}

const call = (path: string): string => `
  const { handler } = await import(${JSON.stringify(path)})
  process.stdout.write(await handler({}, { getRemainingTimeInMillis: () => 10_000 }))
`

const inFolder = async (test: (folder: string) => Promise<void>) => {
  const parent = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-sluice-compiled-"))
  Fs.chmodSync(parent, 0o755)
  const folder = Path.join(parent, "build")
  Fs.mkdirSync(folder)
  try {
    await test(folder)
  } finally {
    const { stdout } = await run("chmod", ["-R", "u+w", parent])
    assert.strictEqual(stdout, "")
    Fs.rmSync(parent, { recursive: true })
  }
}

describe("compiled code in a deployment that is read-only", () => {
  it(
    "is used with its functions that run later, and compiled anew where it does not fit",
    () =>
      inFolder(async (folder) => {
        await bundle(Path.join(folder, "function.cjs"), "cjs")
        for (const name of ["load.mjs", "compile.mjs", "index.mjs"]) {
          Fs.writeFileSync(Path.join(folder, name), fence(name))
        }
        await run(process.execPath, [Path.join(folder, "compile.mjs")])
        const task = deployed(folder)
        assert.deepStrictEqual(await output(call(Path.join(task, "index.mjs"))), { stdout: "done", stderr: "" })
        const other = await output(
          `(await import("node:v8")).setFlagsFromString("--expose-gc")\n${call(Path.join(task, "index.mjs"))}`
        )
        assert.strictEqual(other.stdout, "done")
        assert.match(other.stderr, /not for this version of Node/)
      }),
    60_000
  )

  it.skipIf(!isPortable)("is used by Node's compile cache in a folder of the user", () =>
    inFolder(async (folder) => {
      const module = Path.join(folder, "handler.mjs")
      await bundle(module, "esm")
      const cache = (at: string) => ({ NODE_COMPILE_CACHE: Path.join(at, "cache"), NODE_COMPILE_CACHE_PORTABLE: "1" })
      await run(process.execPath, ["--eval", `import(${JSON.stringify(module)})`], {
        env: { PATH: process.env["PATH"], ...cache(folder) }
      })
      const [made = ""] = Fs.readdirSync(Path.join(folder, "cache"))
      // Node 26 has no user in the name.
      const renamed = user === undefined ? made : made.replace(/-0$/, `-${user}`)
      Fs.renameSync(Path.join(folder, "cache", made), Path.join(folder, "cache", renamed))
      const task = deployed(folder)
      const { stderr, stdout } = await output(call(Path.join(task, "handler.mjs")), {
        ...cache(task),
        NODE_DEBUG_NATIVE: "COMPILE_CACHE"
      })
      assert.match(stderr, /handler\.mjs was accepted/)
      assert.match(stdout, /done/)
    }), 60_000)
})
