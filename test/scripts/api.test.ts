import { afterAll, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const scripts = Path.resolve(import.meta.dirname, "../../scripts/api")
const { reportOf }: {
  readonly reportOf: (
    root: string,
    entries: ReadonlyArray<readonly [name: string, path: string]>
  ) => ReadonlyMap<string, string>
} = await import(Path.join(scripts, "report.mjs"))

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-report-"))
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

const write = (name: string, content: string): void => {
  Fs.mkdirSync(Path.dirname(Path.join(folder, name)), { recursive: true })
  Fs.writeFileSync(Path.join(folder, name), content)
}

const codeOf = (page: string | undefined): string => /```ts\n([\s\S]*?)\n```/.exec(page ?? "")?.[1] ?? ""

describe("the report of the public types", () => {
  write("dts/index.d.ts", "export * as One from \"./One.ts\"\nexport * as Space from \"./Space.ts\"\n")
  write(
    "dts/One.d.ts",
    `import type * as Effect from "effect/Effect"
import type { Direct } from "./internal/hidden.ts"
import * as Hidden from "./internal/hidden.ts"
export { renamed as given } from "./internal/hidden.ts"
export * from "./Star.ts"
/**
 * Text that is no type.
 *
 * @stability experimental
 */
export interface Zed extends Hidden.Base {
    /** How long. */
    readonly direct: Direct | undefined;
    readonly unrelated: import("./Other.ts").Other;
    readonly [TypeId]: Hidden.Opaque;
    readonly effect: Effect.Effect<void>;
}
declare const TypeId: unique symbol;
/** @stability stable */
export declare function over(a: string): void;
export declare function over(a: number): typeof Hidden.value;
export {};
`
  )
  write("dts/Star.d.ts", "export type Starred = 1;\n")
  write("dts/Space.d.ts", "export declare const inside: 1;\n")
  write("dts/Other.d.ts", "export interface Other {\n    readonly next: Other;\n}\n")
  write(
    "dts/internal/hidden.d.ts",
    "export interface Base {\n    readonly direct: string;\n    readonly unused: boolean;\n}\nexport type Direct = Deep[];\n" +
      "type Deep = 2;\nexport type Opaque = 3;\nexport declare const value: 4;\nexport declare const renamed: 5;\n" +
      "export type unused = 6;\n"
  )
  const report = reportOf(Path.join(folder, "dts"), [["index", "index"], ["One", "One"]])

  it("has one file for each module, one for each namespace of a module, and one for what they refer to", () => {
    assert.sameMembers([...report.keys()], ["index.api.md", "One.api.md", "index.Space.api.md", "internal.api.md"])
  })

  it("has each exported declaration without its comments, with its level and the name that it is exported by", () => {
    assert.strictEqual(
      codeOf(report.get("One.api.md")),
      `type Starred = 1;

// experimental
interface Zed extends Hidden.Base {
    readonly direct: Direct | undefined;
    readonly unrelated: import("./Other.ts").Other;
    readonly [TypeId]: Hidden.Opaque;
    readonly effect: Effect.Effect<void>;
}

// exported as given
declare const renamed: 5;

// stable
declare function over(a: string): void;
declare function over(a: number): typeof Hidden.value;`
    )
  })

  it("has what exported declarations refer to, in whatever way, and nothing that is opaque or unused", () => {
    const names = codeOf(report.get("internal.api.md")).matchAll(/^(?:declare const|interface|type) (\w+)/gm)
    assert.deepStrictEqual(Array.from(names, ([, name]) => name), [
      "TypeId",
      "Other",
      "Base",
      "Deep",
      "Direct",
      "value"
    ])
  })
})

describe("the commits", () => {
  const git = (root: string, ...args: ReadonlyArray<string>): string => {
    const names = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    const { status, stderr, stdout } = ChildProcess.spawnSync("git", [...names, ...args], {
      cwd: root,
      encoding: "utf8"
    })
    assert.strictEqual(status, 0, stderr)
    return stdout.trim()
  }

  const repository = (): string => {
    const root = Fs.mkdtempSync(Path.join(folder, "repository-"))
    git(root, "init", "-q")
    commit(root, "Begin", "api/One.api.md", "CHANGELOG.md")
    return root
  }

  let count = 0
  const commit = (root: string, message: string, ...files: ReadonlyArray<string>): string => {
    for (const file of files) {
      Fs.mkdirSync(Path.dirname(Path.join(root, file)), { recursive: true })
      Fs.writeFileSync(Path.join(root, file), String(++count))
    }
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")
  }

  const check = (root: string) => {
    const { status, stderr, stdout } = ChildProcess.spawnSync(process.execPath, [
      Path.join(scripts, "commits.mjs"),
      root
    ], {
      encoding: "utf8",
      env: { ...process.env, GIT_CEILING_DIRECTORIES: folder }
    })
    return { status, stderr, stdout }
  }
  const passed = { status: 0, stderr: "", stdout: "" }

  it("that change the public types change the changelog as well, or add a changeset", () => {
    const root = repository()
    commit(root, "Both", "api/One.api.md", "CHANGELOG.md")
    commit(root, "A changeset", "api/One.api.md", ".changeset/two-words.md")
    commit(root, "Code alone", "src/One.ts")
    assert.deepStrictEqual(check(root), passed)
    const hash = commit(root, "Types alone", "api/One.api.md", "src/One.ts", ".changeset/README.md")
    commit(root, "The changelog later", "CHANGELOG.md")
    assert.deepStrictEqual(check(root), {
      status: 1,
      stdout: "",
      stderr: `${git(root, "rev-parse", "--short", hash)} Types alone: changes the public types, but not CHANGELOG.md\n`
    })
    commit(root, `Describe it\n\nChangelog-Of: ${hash}`, "CHANGELOG.md")
    assert.deepStrictEqual(check(root), passed)
  })

  it("say why users cannot notice a change that is not in the changelog", () => {
    const root = repository()
    commit(root, "Rename\n\nNo-Changelog: the type has no name for users", "api/One.api.md")
    assert.deepStrictEqual(check(root), passed)
    commit(root, "Rename\n\nNo-Changelog:", "api/One.api.md")
    assert.strictEqual(check(root).status, 1)
  })

  it("before the last release are not checked, nor those that a shallow clone does not have", () => {
    const root = repository()
    commit(root, "Types alone", "api/One.api.md")
    commit(root, "Code", "src/One.ts")
    assert.strictEqual(check(root).status, 1)
    git(root, "clone", "-q", "--depth", "1", `file://${root}`, `${root}-shallow`)
    assert.deepStrictEqual(check(`${root}-shallow`), passed)
    git(root, "tag", "v1.2.3")
    assert.deepStrictEqual(check(root), passed)
    commit(root, "Types alone", "api/One.api.md")
    assert.strictEqual(check(root).status, 1)
  })

  it("are not checked where there is no clone", () => {
    const root = Fs.mkdtempSync(Path.join(folder, "plain-"))
    assert.deepStrictEqual(check(root), { ...passed, stdout: "commits: this is no clone, so no commit is checked\n" })
  })
})
