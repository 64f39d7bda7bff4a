/**
 * The reference, which TypeDoc writes from the doc comments.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import manifest from "../../../package.json" with { type: "json" }
import { describeSite, html, root } from "./Site.ts"

/** The texts of the headings of a page, without what marks a function or an option. */
const headingsOf = (page: string): ReadonlyArray<string> =>
  Array.from(
    html(page).matchAll(/<h[2-4] id="[^"]*"[^>]*>(.*?)<a class="header-anchor"/g),
    ([, text = ""]) => text.replaceAll(/<[^>]*>|\(\)|\?/g, "").trim()
  )

describeSite()("the reference", () => {
  const modules = Object.keys(manifest.exports).filter((path) =>
    // These export nothing, or namespaces, or only the manifest.
    ![".", "./package.json", "./LambdaPreload", "./Testing"].includes(path)
  ).map((path) => path.slice(2))

  it.each(modules)("has an entry for each export of %s", async (module) => {
    const exported: object = await import(/* @vite-ignore */ `effect-sluice/${module}`)
    assert.includeMembers([...headingsOf(`api/${module}.html`)], Object.keys(exported))
  })

  it("has the tools for tests on a page each", async () => {
    const exported = await import("effect-sluice/Testing")
    for (const [name, namespace] of Object.entries(exported)) {
      assert.includeMembers([...headingsOf(`api/Testing/namespaces/${name}.html`)], Object.keys(namespace))
    }
  })
})

const isInstalled = Fs.existsSync(Path.join(root, "site/node_modules/typedoc"))

describe.skipIf(!isInstalled && process.env["CI"] !== "true")("the writer of the reference", () => {
  const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-reference-"))
  afterAll(() => Fs.rmSync(project, { recursive: true, force: true }))

  const written = async (source: string): Promise<readonly [boolean, string]> => {
    Fs.mkdirSync(Path.join(project, "src"), { recursive: true })
    const files = {
      "package.json": JSON.stringify({
        exports: { "./One": { default: "./dist/One.js" }, "./Two": { default: "./dist/Two.js" } }
      }),
      "tsconfig.json": JSON.stringify({
        include: ["src"],
        compilerOptions: { strict: true, noEmit: true, module: "NodeNext", allowImportingTsExtensions: true, types: [] }
      }),
      "src/One.ts": `/**\n * The module. It is small.\n *\n * @stability stable\n */\nimport "./Two.ts"\n${source}`,
      "src/Two.ts": "export const two = 2\n"
    }
    for (const [name, text] of Object.entries(files)) Fs.writeFileSync(Path.join(project, name), text)
    const { writeReference } = await import(Path.join(root, "site/lib/api/Reference.ts"))
    const out = Path.join(project, "out")
    const isDone = await writeReference(project, out, "https://example.org/r", Path.join(project, "tsconfig.json"))
    return [isDone, Fs.readFileSync(Path.join(out, "One.md"), "utf8")]
  }

  it("shows a declaration as its source has it, overloads together, without comments, bodies and values", async () => {
    const [isDone, page] = await written(`
/**
 * Adds.
 *
 * @stability stable
 * @category combinators
 */
export function add(one: number): (other: number) => number
export function add(one: number, other: number): number
export function add(one: number, other?: number): unknown {
  return other === undefined ? (other: number) => one + other : one + other
}

/** A box. {@link add} fills it. */
export interface Box<A> {
  /**
   * What is inside.
   *
   * @default 1
   */
  readonly inside?: A | undefined
}

/**
 * Makes a box.
 *
 * @stability experimental
 */
export const box = <A>(inside: A): Box<A> => ({ inside })

/** The sizes. */
export const sizes = { small: 1, large: 2 } as const
`)
    assert.isTrue(isDone)
    assert.include(page, "# One {#top-of-page}\n\n```ts\nimport * as One from \"effect-sluice/One\"\n```\n")
    assert.include(page, "(https://example.org/r/blob/main/src/One.ts)")
    assert.include(page, "The module. It is small.\n\n**Stability:** stable\n")
    assert.include(
      page,
      "## Combinators {#category-combinators}\n\n### add() {#add}\n\n```ts\n" +
        "function add(one: number): (other: number) => number\nfunction add(one: number, other: number): number\n```\n\nAdds."
    )
    assert.include(
      page,
      "```ts\ninterface Box<A> {\n  readonly inside?: A | undefined\n}\n```\n\nA box. [add](#add) fills it."
    )
    assert.include(page, "What is inside.\n\n**Default:** `1`")
    assert.include(
      page,
      "```ts\nfunction box<A>(inside: A): Box<A>\n```\n\nMakes a box.\n\n**Stability:** experimental\n\nTypes: [Box](#box)"
    )
    assert.lengthOf(page.match(/Stability/g) ?? [], 2, "of the module, and of the export that is different")
    assert.include(page, "#### inside? {#box-inside}\n")
    assert.include(page, "```ts\nconst sizes = { small: 1, large: 2 } as const\n```")
  }, 60_000)

  it("fails on a link to a declaration that there is not", async () => {
    const [isDone] = await written("/** See {@link gone}. */\nexport const here = 1\n")
    assert.isFalse(isDone)
  }, 60_000)
})
