import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")

/** Who may import whom. It repeats what the lint configuration says, so that neither can change alone. */
const arrows: Record<string, ReadonlyArray<string>> = {
  internal: [],
  Monitor: ["internal"],
  Retry: ["Monitor", "internal"],
  Resource: ["Monitor", "internal"],
  Pool: ["Retry", "Resource", "Monitor", "internal"],
  Settings: ["Pool", "Retry", "Resource", "Monitor", "internal"],
  Clients: ["Pool", "Retry", "Resource", "Monitor", "internal"],
  Serverless: ["Pool", "Retry", "Resource", "Monitor", "internal"],
  Testing: ["Pool", "Retry", "Resource", "Monitor", "internal"],
  Operations: ["Pool", "Retry", "Resource", "Monitor", "internal"],
  Cli: ["Operations", "Clients", "Settings", "Pool", "Retry", "Resource", "Monitor", "internal"]
}
const folders = Object.keys(arrows)

const core = [
  "src/Resource/Endpoint.ts",
  "src/Resource/Connector.ts",
  "src/Pool/ConnectionPool.ts",
  "src/Retry/RetryPolicy.ts",
  "src/Monitor/ResourceMonitor.ts",
  "src/Monitor/Service.ts"
]
/** Its layers make streams of levels and alerts; whoever only asks the monitor imports the service. */
const mayStream = "src/Monitor/ResourceMonitor.ts"
/** The one module that loads what reads `Config`, when a program asks for options from `Config`, and not before. */
const lazy = "src/internal/ImportConfig.ts"
const tooHeavyForCore = [
  "effect/Schema",
  "effect/SchemaParser",
  "effect/Config",
  "effect/ConfigProvider",
  "effect/Stream",
  "effect/socket/Socket",
  "effect/sql/SqlClient",
  "@effect/platform-node/NodeSocket",
  "node:net",
  "node:tls",
  "net"
]

const houseRules: ReadonlyArray<readonly [rule: string, code: string]> = [
  ["effecttsgo(global-date)", "export const x = Date.now()"],
  ["effecttsgo(global-date)", "export const x = new Date()"],
  ["effecttsgo(global-random)", "export const x = Math.random()"],
  ["effecttsgo(global-timers)", "export const x = setTimeout(() => {}, 1)"],
  ["effecttsgo(global-timers)", "export const x = setInterval(() => {}, 1)"],
  ["effecttsgo(global-console)", "console.log(1)"],
  ["effecttsgo(process-env)", "export const x = process.env[\"HOME\"]"],
  ["typescript(no-explicit-any)", "export const x: any = 1"],
  ["typescript(no-non-null-assertion)", "export const x = (y: string | undefined): string => y!"],
  ["typescript(array-type)", "export const x: string[] = []"],
  ["typescript(ban-ts-comment)", "// @ts-ignore\nexport const x: number = 1"],
  ["eslint(max-lines)", "export const x = [\n" + "1,\n".repeat(400) + "]"],
  ["eslint(max-lines-per-function)", "export const x = () => {\n" + "void 0\n".repeat(70) + "}"],
  ["eslint(no-restricted-imports)", "import { Effect } from \"effect\"\nexport const x = Effect"],
  ["eslint(no-restricted-imports)", "import * as Self from \"effect-sluice/Endpoint\"\nexport const x = Self"],
  ["eslint(no-restricted-imports)", "import * as Barrel from \"../index.ts\"\nexport const x = Barrel"],
  [
    "effecttsgo(floating-effect)",
    "import * as Effect from \"effect/Effect\"\nexport const x = () => {\n  Effect.void\n}"
  ]
]

const importing = (specifier: string, kind = "import"): string =>
  `${kind} * as Other from "${specifier}"\nexport ${kind === "import" ? "const x = Other" : "type X = typeof Other"}\n`

const violations = new Map<string, string>()
for (const from of folders) {
  violations.set(`src/${from}/Target.ts`, "export const target = 1\n")
  for (const to of folders) {
    if (from !== to) violations.set(`src/${from}/To${to}.ts`, importing(`../${to}/Target.ts`))
  }
}
violations.set("src/Pool/Deep/Up.ts", importing("../../Cli/Target.ts"))
violations.set("src/Pool/Here.ts", importing("./There.ts"))
violations.set("src/Pool/There.ts", importing("./Here.ts"))
violations.set("src/Pool/TypedHere.ts", importing("./TypedThere.ts", "import type"))
violations.set("src/Pool/TypedThere.ts", importing("./TypedHere.ts", "import type"))
violations.set("src/Pool/internal/Target.ts", "export const target = 1\n")
violations.set("src/Pool/ToOwnInternal.ts", importing("./internal/Target.ts"))
const usersOfPool = folders.filter((from) => arrows[from]?.includes("Pool"))
for (const from of usersOfPool) {
  violations.set(`src/${from}/ToPoolInternal.ts`, importing("../Pool/internal/Target.ts"))
  violations.set(`src/${from}/Deep/ToPoolInternal.ts`, importing("../../Pool/internal/Target.ts", "import type"))
}
violations.set("src/Resource/internal/tcp/Target.ts", "export const target = 1\n")
violations.set("src/Resource/ToOwnInternal.ts", importing("./internal/tcp/Target.ts"))
const usersOfResource = folders.filter((from) => arrows[from]?.includes("Resource"))
for (const from of usersOfResource) {
  violations.set(`src/${from}/ToResourceInternal.ts`, importing("../Resource/internal/tcp/Target.ts"))
  violations.set(
    `src/${from}/Deep/ToResourceInternal.ts`,
    importing("../../Resource/internal/tcp/Target.ts", "import type")
  )
}
const usersOfRetry = folders.filter((from) => arrows[from]?.includes("Retry"))
for (const from of usersOfRetry) {
  for (const module of ["Decision", "ErrorCodes"]) {
    violations.set(`src/${from}/ToRetry${module}.ts`, importing(`../Retry/internal/${module}.ts`, "import type"))
    violations.set(`src/Retry/internal/${module}.ts`, "export const target = 1\n")
  }
}
violations.set(
  "src/Pool/PoolTelemetry.ts",
  ["../Resource/internal/tcp/Target.ts", "../Retry/internal/Decision.ts"].map((name, i) =>
    `import type * as X${i} from "${name}"\nexport type Y${i} = typeof X${i}\n`
  ).join("")
)
/** What is behind the public modules of the monitor, in the order in which each may import those before it. */
const behindMonitor = ["readings", "levels", "gate"]
const usersOfMonitor = folders.filter((from) => arrows[from]?.includes("Monitor"))
for (const [i, behind] of behindMonitor.entries()) {
  violations.set(`src/Monitor/${behind}/Target.ts`, "export const target = 1\n")
  for (const from of usersOfMonitor) {
    violations.set(`src/${from}/ToMonitor${i}.ts`, importing(`../Monitor/${behind}/Target.ts`, "import type"))
  }
  for (const [j, other] of behindMonitor.entries()) {
    if (i !== j) violations.set(`src/Monitor/${behind}/To${j}.ts`, importing(`../${other}/Target.ts`, "import type"))
  }
}
houseRules.forEach(([, code], i) => violations.set(`src/Resource/House${i}.ts`, code + "\n"))
for (const module of core) {
  violations.set(module, tooHeavyForCore.map((name, i) => `export * as X${i} from "${name}"\n`).join(""))
}
violations.set("src/Retry/Typed.ts", importing("effect/Stream", "import type"))

interface Finding {
  readonly code: string
  readonly file: string
  readonly line: number
}

let copy: string
let findings: ReadonlyArray<Finding>

/** Runs the project's linter with the project's configuration over a copy that breaks every rule. */
beforeAll(() => {
  copy = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-architecture-"))
  for (const name of [".oxlintrc.json", "tsconfig.json"]) Fs.copyFileSync(Path.join(root, name), Path.join(copy, name))
  Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(copy, "node_modules"))
  for (const [name, code] of violations) {
    Fs.mkdirSync(Path.dirname(Path.join(copy, name)), { recursive: true })
    Fs.writeFileSync(Path.join(copy, name), code)
  }
  const bin = Path.join(root, "node_modules/.bin/oxlint")
  const run = ChildProcess.spawnSync(bin, ["--format", "json", "src"], { cwd: copy, encoding: "utf8" })
  assert.strictEqual(run.status, 1, run.stdout + run.stderr)
  const report: {
    diagnostics: Array<{ code: string; filename: string; labels: Array<{ span: { line: number } }> }>
  } = JSON.parse(run.stdout)
  findings = report.diagnostics.map((d) => ({ code: d.code, file: d.filename, line: d.labels[0]?.span.line ?? 0 }))
})

afterAll(() => Fs.rmSync(copy, { recursive: true, force: true }))

const rulesOf = (file: string): ReadonlyArray<string> => findings.filter((f) => f.file === file).map((f) => f.code)

describe("the linter", () => {
  it("refuses every import between folders that goes against the arrows, and only those", () => {
    for (const from of folders) {
      for (const to of folders.filter((name) => name !== from)) {
        const refused = rulesOf(`src/${from}/To${to}.ts`).includes("eslint(no-restricted-imports)")
        assert.strictEqual(refused, arrows[from]?.includes(to) === false, `${from} imports ${to}`)
      }
    }
  })

  it("refuses a cycle of folders even where no file is in a cycle", () => {
    assert.deepStrictEqual(rulesOf("src/Pool/ToMonitor.ts"), [])
    assert.deepStrictEqual(rulesOf("src/Monitor/ToPool.ts"), ["eslint(no-restricted-imports)"])
  })

  it("sees through nested folders", () => {
    assert.include(rulesOf("src/Pool/Deep/Up.ts"), "eslint(no-restricted-imports)")
  })

  it("refuses a cycle of files inside one folder", () => {
    assert.include(rulesOf("src/Pool/Here.ts"), "import(no-cycle)")
    assert.include(rulesOf("src/Pool/There.ts"), "import(no-cycle)")
  })

  it("refuses a cycle of files that import only types of each other", () => {
    assert.include(rulesOf("src/Pool/TypedHere.ts"), "import(no-cycle)")
    assert.include(rulesOf("src/Pool/TypedThere.ts"), "import(no-cycle)")
  })

  it("keeps the internal modules of the pool to the pool", () => {
    assert.deepStrictEqual(rulesOf("src/Pool/ToOwnInternal.ts"), [])
    for (const from of usersOfPool) {
      assert.deepStrictEqual(rulesOf(`src/${from}/ToPoolInternal.ts`), ["eslint(no-restricted-imports)"])
      assert.deepStrictEqual(rulesOf(`src/${from}/Deep/ToPoolInternal.ts`), ["eslint(no-restricted-imports)"])
    }
  })

  it("keeps the internal modules of the resources to the resources", () => {
    assert.deepStrictEqual(rulesOf("src/Resource/ToOwnInternal.ts"), [])
    for (const from of usersOfResource) {
      assert.deepStrictEqual(rulesOf(`src/${from}/ToResourceInternal.ts`), ["eslint(no-restricted-imports)"])
      assert.deepStrictEqual(rulesOf(`src/${from}/Deep/ToResourceInternal.ts`), ["eslint(no-restricted-imports)"])
    }
    const refused = "eslint(no-restricted-imports)"
    assert.deepStrictEqual(rulesOf("src/Pool/PoolTelemetry.ts"), [refused, refused])
  })

  it("keeps the internal modules of the retry to it, but for what the pool's dialer steps", () => {
    for (const from of usersOfRetry) {
      const refused = ["eslint(no-restricted-imports)"]
      assert.deepStrictEqual(rulesOf(`src/${from}/ToRetryDecision.ts`), from === "Pool" ? [] : refused, from)
      assert.deepStrictEqual(rulesOf(`src/${from}/ToRetryErrorCodes.ts`), refused, from)
    }
  })

  it("keeps what is behind the monitor's public modules to the monitor, but for what the command reads and judges", () => {
    for (const from of usersOfMonitor) {
      behindMonitor.forEach((behind, i) => {
        const refused = rulesOf(`src/${from}/ToMonitor${i}.ts`).includes("eslint(no-restricted-imports)")
        assert.strictEqual(refused, from !== "Cli" || behind === "gate", `${from} imports ${behind}`)
      })
    }
  })

  it("lets the monitor's readings know no levels, and its levels no gate", () => {
    behindMonitor.forEach((behind, i) =>
      behindMonitor.forEach((other, j) => {
        const refused = rulesOf(`src/Monitor/${behind}/To${j}.ts`).includes("eslint(no-restricted-imports)")
        assert.strictEqual(refused, i !== j && j > i, `${behind} imports ${other}`)
      })
    )
  })

  it("keeps Schema, Config, Stream, sockets and drivers out of each core module", () => {
    for (const module of core) {
      tooHeavyForCore.forEach((name, i) => {
        const found = findings.some((f) =>
          f.file === module && f.line === i + 1 && f.code === "eslint(no-restricted-imports)"
        )
        const isAllowed = module === mayStream && name === "effect/Stream"
        assert.strictEqual(found, !isAllowed, `${module} imports ${name}`)
      })
    }
  })

  it("allows the core a type that costs a bundle nothing", () => {
    assert.deepStrictEqual(rulesOf("src/Retry/Typed.ts"), [])
  })

  it.each(houseRules.map(([rule, code], i) => [rule, code.slice(0, 60), i] as const))(
    "reports %s for %j",
    (rule, _, i) => assert.include(rulesOf(`src/Resource/House${i}.ts`), rule)
  )
})

/** The modules that `file` loads when it runs: imports of types are erased, so they do not count. */
const loadedBy = (file: string): ReadonlyArray<string> =>
  Array.from(
    Fs.readFileSync(file, "utf8").matchAll(
      /^(?:import|export)\s+(?!type\b)[^"'=]*?from\s+"([^"]+)"|\bimport\("([^"]+)"/gm
    ),
    (match) => match[1] ?? match[2] ?? ""
  )

const read = (name: string) => JSON.parse(Fs.readFileSync(Path.join(root, name), "utf8"))
const paths: Record<string, ReadonlyArray<string>> = read("tsconfig.json").compilerOptions.paths
const sourceOf = (built: string): string => built.replace("./dist/", "./src/").replace(/\.js$/, ".ts")

/** The source that `file` imports by this name, or `undefined` if the name is that of a package. */
const resolved = (file: string, name: string): string | undefined => {
  if (name.startsWith(".")) return Path.resolve(Path.dirname(file), name)
  const [own] = name.startsWith("#") ? paths[name] ?? [] : []
  return own === undefined ? undefined : Path.join(root, own)
}

describe("the source tree", () => {
  it.each(core.filter((module) => Fs.existsSync(Path.join(root, module))))(
    "%s loads nothing heavy, not even through its own imports",
    (module) => {
      const seen = new Set<string>()
      const path = Path.join(root, module)
      const visit = (file: string, way: ReadonlyArray<string>): void => {
        if (seen.has(file)) return
        seen.add(file)
        for (const name of loadedBy(file)) {
          if (file === Path.join(root, lazy) && name === "./ConfigFailure.ts") continue
          const next = resolved(file, name)
          if (next !== undefined) visit(next, [...way, name])
          if (module === mayStream && name === "effect/Stream") continue
          assert.notMatch(
            name,
            /^effect$|^effect\/(?:Schema|Config|Stream|socket|sql|http|cli)|^@effect\/|^(?:node:)?(?:net|tls|dgram|https?|http2)$/,
            [...way, name].join(" -> ")
          )
        }
      }
      visit(path, [module])
    }
  )

  it("loads what reads Config only when a program asks for options from Config", () => {
    const code = Fs.readFileSync(Path.join(root, lazy), "utf8")
    assert.deepStrictEqual(code.match(/^(?!\/?\s?\*).+$/gm), [
      "export const importConfig = () => import(\"./ConfigFailure.ts\")"
    ])
  })

  it("keeps the monitor itself out of the pool, which knows the service and its claims alone", () => {
    const loaded = new Set<string>()
    const visit = (file: string): void => {
      if (loaded.has(file)) return
      loaded.add(file)
      for (const name of loadedBy(file)) {
        const next = resolved(file, name)
        if (next !== undefined) visit(next)
      }
    }
    for (const module of ["src/Pool/ConnectionPool.ts", "src/Retry/RetryPolicy.ts", "src/Resource/TcpConnection.ts"]) {
      visit(Path.join(root, module))
    }
    const monitor = Array.from(loaded, (file) => Path.relative(root, file)).filter((file) => /Monitor\//.test(file))
    assert.deepStrictEqual(monitor.toSorted(), ["src/Monitor/Service.ts"])
  })

  it("resolves each entry point to the file that the package exports", () => {
    const exported: Record<string, { types: string; default: string }> = read("package.json").exports
    const expected = Object.fromEntries(
      Object.entries(exported).filter(([name]) => name !== "./package.json").map(([name, target]) => {
        assert.strictEqual(target.types, target.default.replace(/\.js$/, ".d.ts"))
        return ["effect-sluice" + name.slice(1), [sourceOf(target.default)]]
      })
    )
    assert.deepStrictEqual(paths, expected)
  })

  it("has Node import late what a bundler takes at once, each with the same exports", () => {
    const imports: Record<string, { module: string; default: string }> = read("package.json").imports
    const late = Object.entries(imports).map(([name, target]) => [name, sourceOf(target.default).replace("src/", "")])
    // So that the sources run without a build.
    assert.deepStrictEqual(read("src/package.json").imports, Object.fromEntries(late))
    for (const target of Object.values(imports)) {
      const [late, bundled] = [target.default, target.module].map((built) =>
        Fs.readFileSync(Path.join(root, sourceOf(built)), "utf8")
      )
      const exported = /^export const (\w+) = \(\) => /m
      assert.strictEqual(bundled?.match(exported)?.[1], late?.match(exported)?.[1])
      const imported = /import\("([^"]+)"\)$/m.exec(late ?? "")?.[1]
      assert.deepStrictEqual(loadedBy(Path.join(root, sourceOf(target.module))), [imported ?? "nothing"])
      assert.notInclude(bundled, "import(")
    }
  })
})

it("importing TcpConnection does not load Node's TLS, which costs more than the rest", () => {
  const module = new URL("../src/Resource/TcpConnection.ts", import.meta.url).href
  const loaded = (after: string) =>
    ChildProcess.execFileSync(process.execPath, [
      "--input-type=module",
      "-e",
      `await import(${
        JSON.stringify(module)
      }); ${after}; console.log(process.moduleLoadList.includes("NativeModule tls"))`
    ], { encoding: "utf8" }).trim()
  assert.strictEqual(loaded(""), "false")
  // That this list tells.
  assert.strictEqual(loaded(`await import("node:tls")`), "true")
})
