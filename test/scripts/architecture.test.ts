import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")

type Graph = ReadonlyMap<string, ReadonlySet<string>>

const { grouped, importsOf, missing, partsOf, reduced, written }: {
  readonly importsOf: (root: string) => Graph
  readonly grouped: (imports: Graph, groupOf: (name: string) => string | undefined) => Graph
  readonly reduced: (graph: Graph) => Graph
  readonly partsOf: (root: string) => Record<string, string>
  readonly written: (page: string, parts: Record<string, string>) => string
  readonly missing: (root: string, page: string) => ReadonlyArray<string>
} = await import(Path.join(root, "scripts/architecture.mjs"))

const page = Fs.readFileSync(Path.join(root, "docs/architecture.md"), "utf8")

const plain = (graph: Graph): Record<string, ReadonlyArray<string>> =>
  Object.fromEntries(Array.from(graph, ([from, to]) => [from, [...to]]))

describe("docs/architecture.md", () => {
  it("has the pictures that the imports of src give", () => assert.strictEqual(written(page, partsOf(root)), page))

  it("names only files that exist, as do the other pages of docs", () => {
    for (const name of Fs.globSync("docs/**/*.md", { cwd: root })) {
      assert.deepStrictEqual(missing(root, Fs.readFileSync(Path.join(root, name), "utf8")), [], name)
    }
    assert.deepStrictEqual(missing(root, "`src/Pool/Gone.ts` and `src/index.ts`"), ["src/Pool/Gone.ts"])
  })

  it("names each internal module of the pool", () => {
    for (const name of Fs.readdirSync(Path.join(root, "src/Pool/internal"))) {
      assert.include(page, `\n- \`${name.replace(".ts", "")}\`: `)
    }
  })
})

describe("the pictures", () => {
  const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-pictures-"))
  afterAll(() => Fs.rmSync(project, { recursive: true, force: true }))

  const write = (name: string, code: string): void => {
    const path = Path.join(project, "src", name)
    Fs.mkdirSync(Path.dirname(path), { recursive: true })
    Fs.writeFileSync(path, code)
  }

  it("have an arrow for each import, export, type and dynamic import of the project's own modules", () => {
    write("A/One.ts", "/** import \"../C/No.ts\" */\nimport * as Two from \"./Two.ts\"\nexport type X = typeof Two\n")
    write("A/Two.ts", "import type { X } from \"../B/Three.ts\"\nexport const load = () => import(\"../B/Four.ts\")\n")
    write("B/Three.ts", "export * from \"./Four.ts\"\nimport * as Effect from \"effect/Effect\"\nEffect.void\n")
    write("B/Four.ts", "export const four = 4\n")
    const imports = importsOf(project)
    assert.deepStrictEqual(plain(imports), {
      "A/One": ["A/Two"],
      "A/Two": ["B/Three", "B/Four"],
      "B/Four": [],
      "B/Three": ["B/Four"]
    })
    assert.deepStrictEqual(plain(grouped(imports, (name) => name.split("/")[0])), { A: ["B"], B: [] })
  })

  it("leave out the arrows that follow from others", () => {
    const graph = new Map([["A", new Set(["B", "C"])], ["B", new Set(["C"])], ["C", new Set<string>()]])
    assert.deepStrictEqual(plain(reduced(graph)), { A: ["B"], B: ["C"], C: [] })
  })
})
