import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { startPage } from "../support/StartPage.ts"
import { follow } from "./StartProject.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const bin = (name: string): string => Path.join(root, "node_modules/.bin", name)
const manifest: {
  readonly exports: Record<string, { readonly default: string }>
  readonly dependencies?: Record<string, string>
  readonly scripts: Record<string, string>
  readonly homepage: string
  readonly bugs: { readonly url: string }
  readonly repository: { readonly url: string }
} = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
const entries = Object.keys(manifest.exports).filter((name) => name.slice(2) !== "package.json")

let consumer: string
let tarball: string

const inPackage = (name = ""): string => Path.join(consumer, "node_modules/effect-sluice", name)
const text = (page: string): string => Fs.readFileSync(inPackage(page), "utf8")
const pages = (): ReadonlyArray<string> =>
  Fs.globSync(["*.md", "docs/**/*.md", "examples/**/*.md"], { cwd: inPackage() })
const linksOf = (page: string): ReadonlyArray<string> =>
  Array.from(text(page).matchAll(/\]\(([^)\s]+)\)|<(https?:[^>\s]+)>/g), ([, link, address]) => link ?? address ?? "")

const run = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  ChildProcess.spawnSync(command, args, { cwd, encoding: "utf8" })

const succeed = (command: string, args: ReadonlyArray<string>, cwd: string): string => {
  const { error, status, stderr, stdout } = run(command, args, cwd)
  assert.strictEqual(status, 0, `${command} ${args.join(" ")}: ${error?.message ?? stdout + stderr}`)
  return stdout
}

const write = (name: string, content: string): void => Fs.writeFileSync(Path.join(consumer, name), content)

/** Installs in the consumer what this checkout has installed, as a link and without asking a registry. */
const install = (name: string): void => {
  const target = Path.join(consumer, "node_modules", name)
  Fs.mkdirSync(Path.dirname(target), { recursive: true })
  Fs.symlinkSync(Path.join(root, "node_modules", name), target)
}

/**
 * A project that has the packed tarball in its node_modules, and beside it what npm installs with it: `effect`, and no optional
 * peer. `@types/node` is the project's own.
 */
beforeAll(() => {
  consumer = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-consumer-"))
  for (const name of ["effect", "@types/node"]) install(name)
  succeed("npm", ["run", "build"], root)
  const [packed] = JSON.parse(
    succeed("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", consumer], root)
  )
  tarball = Path.join(consumer, packed.filename)
  succeed("tar", ["-xzf", tarball], consumer)
  Fs.renameSync(Path.join(consumer, "package"), inPackage())
  write("package.json", JSON.stringify({ name: "consumer", private: true, type: "module" }))
  write(
    "tsconfig.json",
    JSON.stringify({
      include: ["*.ts"],
      compilerOptions: {
        module: "NodeNext",
        target: "ES2023",
        lib: ["ES2023", "ESNext.Disposable", "DOM"],
        types: ["node"],
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        noEmit: true
      }
    })
  )
}, 60_000)

afterAll(() => Fs.rmSync(consumer, { recursive: true, force: true }))

const borrow = `
import * as Effect from "effect/Effect"

const connector = {
  open: (key: string) => Effect.acquireRelease(Effect.succeed({ key }), () => Effect.sync(() => console.log("closed")))
}
const program = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({ connector })
  return yield* ConnectionPool.use(pool, "db", (connection) => Effect.succeed(connection.key))
})
console.log(await Effect.runPromise(Effect.provide(Effect.scoped(program), ResourceMonitor.layerUnlimited)))
`

describe("the packed package", () => {
  it("holds code, declarations, sources and the license, and nothing of the workshop", () => {
    const pages = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"]
    assert.sameMembers(Fs.readdirSync(inPackage()), ["package.json", ...pages, "dist", "src", "docs", "examples"])
  })

  it("is installed without a script to run and without a warning", () => {
    // An empty cache and no network: nothing can be fetched, and with legacy peers nothing has to be.
    const options = [
      "--offline",
      "--legacy-peer-deps",
      "--loglevel=warn",
      "--no-audit",
      "--no-fund",
      "--cache",
      "cache"
    ]
    const project = Fs.mkdtempSync(Path.join(consumer, "installed-"))
    Fs.writeFileSync(Path.join(project, "package.json"), JSON.stringify({ name: "installed", private: true }))
    const { status, stderr } = run("npm", ["install", ...options, tarball], project)
    assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
    for (const event of ["preinstall", "install", "postinstall", "prepare"]) {
      assert.notProperty(manifest.scripts, event)
    }
  })

  it("names its repository with one address everywhere, in pages too", () => {
    const address = manifest.repository.url.replace(/^git\+/, "").replace(/\.git$/, "")
    assert.strictEqual(manifest.homepage, `${address}#readme`)
    assert.strictEqual(manifest.bugs.url, `${address}/issues`)
    for (const page of pages()) {
      const addresses = Array.from(
        text(page).matchAll(/https:\/\/github\.com\/[\w.-]+\/effect-sluice/g),
        ([found]) => found
      )
      assert.deepStrictEqual(addresses.filter((found) => found !== address), [], page)
      for (const link of linksOf(page).filter((link) => link.startsWith(`${address}/blob/main/`))) {
        const [file = ""] = link.slice(`${address}/blob/main/`.length).split("#")
        assert.isTrue(Fs.existsSync(Path.join(root, file)), `${page}: ${link}`)
      }
    }
  })

  it("has each file that its pages link to", () => {
    for (const page of pages()) {
      for (const link of linksOf(page).filter((link) => !/^[a-z]+:/.test(link))) {
        const [file = ""] = link.split("#")
        assert.isTrue(Fs.existsSync(Path.resolve(Path.dirname(inPackage(page)), file)), `${page}: ${link}`)
      }
    }
  })

  it("depends on nothing but its peer effect", () => {
    assert.deepStrictEqual(manifest.dependencies ?? {}, {})
  })

  it("has each entry point that it exports, and each one loads with effect alone", () => {
    const loaded = entries.map((name) => `await import("${name.replace(".", "effect-sluice")}")`).join("\n")
    write("entries.mjs", `${loaded}\nconsole.log("loaded")`)
    assert.strictEqual(succeed(process.execPath, ["entries.mjs"], consumer), "loaded\n")
  })

  it("type-checks in a strict consumer and leases a connection, from the barrel and from the subpath", () => {
    write("barrel.ts", `import { ConnectionPool, ResourceMonitor } from "effect-sluice"\n${borrow}`)
    write(
      "subpath.ts",
      `import * as ConnectionPool from "effect-sluice/ConnectionPool"
       import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
       ${borrow}`
    )
    succeed(bin("tsc"), ["-p", "."], consumer)
    for (const name of ["barrel.ts", "subpath.ts"]) {
      assert.strictEqual(succeed(process.execPath, [name], consumer), "closed\ndb\n")
    }
  })

  it("has clients that say which package to install when they are used without it", () => {
    const missing = (entry: string, name: string, open: string) => {
      write("missing.mjs", `import { Effect } from "effect"\nimport * as Client from "effect-sluice/${entry}"\n${open}`)
      assert.include(
        run(process.execPath, ["missing.mjs"], consumer).stderr,
        `MissingPeer: effect-sluice/${entry} needs ${name}, which is not installed: npm install ${name}@`
      )
    }
    const open = "await Effect.runPromise(Effect.scoped(Client.connector().open({ _tag: \"TcpEndpoint\" })))"
    missing("NodePostgres", "pg", open)
    missing("IoRedis", "ioredis", open)
    missing("Redis", "redis", open)
    missing("Postgres", "@effect/sql-pg", open.replace("connector()", "connector({})"))
    missing("Mysql", "mysql2", open)
    missing(
      "Http",
      "@effect/platform-node",
      `
      import { Layer } from "effect"
      import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
      await Effect.runPromise(Effect.scoped(Layer.build(Layer.provide(Client.layer(), ResourceMonitor.layer))))
    `
    )
  })

  it("has a bundler take the driver and Config at once, so that it wraps no module for an import at run time", () => {
    write(
      "bundled.mjs",
      "export { layer } from \"effect-sluice/Postgres\"\nexport { retry } from \"effect-sluice/RetryPolicy\"\n"
    )
    const options = ["--bundle", "--external:@effect/sql-pg", "--format=esm", "--platform=node", "--log-level=error"]
    succeed(bin("esbuild"), ["bundled.mjs", ...options, "--outfile=bundle.mjs", "--metafile=bundle.json"], consumer)
    // esbuild documents this form.
    const { inputs }: { inputs: Record<string, { imports: ReadonlyArray<{ kind: string; path: string }> }> } = JSON
      .parse(Fs.readFileSync(Path.join(consumer, "bundle.json"), "utf8"))
    const late = Object.entries(inputs).flatMap(([file, { imports }]) =>
      imports.filter(({ kind }) => kind === "dynamic-import").map(({ path }) => `${file} imports ${path}`)
    )
    assert.deepStrictEqual(late, [])
    const bundle = Fs.readFileSync(Path.join(consumer, "bundle.mjs"), "utf8")
    assert.include(bundle, "from \"@effect/sql-pg/")
  })

  it("has a command that names the package to install, and runs once that is there", () => {
    const sluice = inPackage("dist/Cli/main.js")
    const { status, stderr, stdout } = run(process.execPath, [sluice, "--version"], consumer)
    assert.deepStrictEqual({ status, stdout, stderr }, {
      status: 1,
      stdout: "",
      stderr:
        "sluice: this command needs @effect/platform-node, which is not installed: npm install @effect/platform-node@4\n"
    })
    install("@effect/platform-node")
    assert.match(succeed(process.execPath, [sluice, "--version"], consumer), /^sluice v\d/)
  })

  it("type-checks the programs of docs/start in a folder of their own, by the commands of the pages", () => {
    const folder = (name: string) => Fs.mkdtempSync(Path.join(consumer, `${name}-`))
    assert.deepStrictEqual(follow(folder("first"), tarball, ["first-pool", "first-test"]), [
      "npm init -y && npm pkg set type=module",
      "npx tsc",
      "npx tsc",
      "npx vitest run"
    ])
    const whole = folder("whole")
    const { files } = startPage("first-pool")
    Fs.writeFileSync(Path.join(whole, "tsconfig.json"), files["tsconfig.json"] ?? "")
    // What needs PostgreSQL is run by the doctests.
    assert.deepStrictEqual(follow(whole, tarball, ["whole-program"], (command) => command !== "npx vitest run"), [
      "npm init -y && npm pkg set type=module",
      "npx tsc"
    ])
    const first = folder("function")
    Fs.writeFileSync(Path.join(first, "tsconfig.json"), files["tsconfig.json"] ?? "")
    assert.deepStrictEqual(follow(first, tarball, ["first-function"], (command) => command !== "node invoke.ts"), [
      "npm init -y && npm pkg set type=module",
      "npx tsc",
      "npx esbuild handler.ts --bundle --platform=node --format=esm --target=es2023 --minify --outfile=dist/handler.mjs"
    ])
    // The bundle loads where there are no packages.
    const deployed = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-function-"))
    Fs.copyFileSync(Path.join(first, "dist/handler.mjs"), Path.join(deployed, "handler.mjs"))
    const load = `console.log(typeof (await import("./handler.mjs")).handler)`
    const loaded = run(process.execPath, ["--input-type=module", "--eval", load], deployed)
    Fs.rmSync(deployed, { recursive: true })
    assert.deepStrictEqual([loaded.stdout, loaded.stderr], ["function\n", ""])
  }, 60_000)

  it("keeps its inside to itself", () => {
    const inside = ["internal/InvalidOption", "internal/InvalidOption.js", "dist/internal/InvalidOption.js"]
    for (const name of inside) {
      write("inside.mjs", `await import("effect-sluice/${name}")`)
      assert.match(run(process.execPath, ["inside.mjs"], consumer).stderr, /ERR_PACKAGE_PATH_NOT_EXPORTED/)
    }
    assert.isTrue(Fs.existsSync(inPackage("dist/internal/InvalidOption.js")))
  })
})
