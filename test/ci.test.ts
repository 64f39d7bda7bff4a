/**
 * `.ci/run` runs what it should. Scripts of package.json run others, so that a check may be lost in any of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import manifest from "../package.json" with { type: "json" }

const ci = Fs.readFileSync(Path.resolve(import.meta.dirname, "../.ci/run"), "utf8")
const scripts: Record<string, string> = manifest.scripts

/** The scripts that a command runs by name. */
const scriptsIn = (command: string): ReadonlyArray<string> =>
  Array.from(command.matchAll(/npm (?:run (?:-s )?)?([\w:]+)/g), ([, name = ""]) => name).filter((name) =>
    name in scripts
  )

/** All commands that CI runs, those of scripts that run others included. */
const commands = (): ReadonlyArray<string> => {
  const steps = ci.split("\n").filter((line) => /^(?:step|tests|npm) /.test(line))
  const names = new Set(steps.flatMap(scriptsIn))
  for (const name of names) for (const next of scriptsIn(scripts[name] ?? "")) names.add(next)
  return [...steps, ...Array.from(names, (name) => scripts[name] ?? "")]
}

describe(".ci/run", () => {
  it.each([
    ["a clean installation", /^npm ci/],
    ["the tests, with the links of all pages", /vitest run --maxWorkers/],
    ["the tests with the oldest Node of `engines`", /test:node -- minimum/],
    ["the tests with the newest Node", /test:node -- newest/],
    ["the long tests, with the package on Bun and Deno", /vitest run .*test\/runtimes/],
    ["the long tests, with the package in a project of its own", /vitest run .*test\/package/],
    ["the format", /dprint check/],
    ["the linter", /oxlint src/],
    ["the words", /scripts\/words\.mjs/],
    ["the stability of each export", /scripts\/api\/stability\.mjs/],
    ["the types", /tsc -p tsconfig\.json/],
    ["the report of the public types", /scripts\/api\/report\.mjs --check/],
    ["the commits that change it", /scripts\/api\/commits\.mjs/],
    ["publint", /publint --strict/],
    ["attw", /attw .*--pack/],
    ["the tests of types", /tsc -p typetest/],
    ["the sizes of bundles", /node scripts\/bundle\.mjs/],
    ["the examples", /node scripts\/examples\.mjs/],
    ["the build of the site", /scripts\/docs\.mjs build/],
    ["the types of the site", /npm run -s check --prefix site/],
    ["what drives the browser", /npm ci .*--prefix test\/browser/],
    ["the pages in a browser", /vitest run .*test\/browser/],
    ["the site in a browser", /vitest run test\/site\/built/]
  ])("runs %s", (_, command) => {
    assert.isTrue(commands().some((one) => command.test(one)))
  })

  it("runs the tests that `npm test` leaves out in other steps", () => {
    const [, names = ""] = /'test\/\{([^}]*)\}\/\*\*'/.exec(scripts["test"] ?? "") ?? []
    const others = Array.from((scripts["test"] ?? "").matchAll(/--exclude '?([\w/.]+)/g), ([, path = ""]) => path)
    const leftOut = [...names.split(",").map((name) => `test/${name}`), ...others.filter((path) => path !== "test/")]
    const run = commands().filter((command) => /vitest run/.test(command) && !command.includes("--exclude"))
    const paths = run.flatMap((command) => command.split(/\s+/)).map((word) => word.replace(/\/$/, ""))
    assert.isAbove(leftOut.length, 10)
    assert.includeMembers(paths, leftOut.map((path) => path.replace(/\/$/, "")))
  })

  it("runs only scripts that there are", () => {
    for (const [, name = ""] of ci.matchAll(/npm run (?:-s )?([\w:]+)/g)) assert.property(scripts, name)
  })
})
