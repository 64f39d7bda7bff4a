/**
 * docs/reference/cli.md lists the commands with their arguments and flags, and no others.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import type { HelpDoc } from "effect/cli/HelpDoc"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { actions } from "../src/Cli/pools/Command.ts"
import { sluice } from "../src/Cli/Sluice.ts"

const page = Fs.readFileSync(Path.resolve(import.meta.dirname, "../docs/reference/cli.md"), "utf8")

/** What the command says of itself with `--help`. */
const helpOf = (...path: ReadonlyArray<string>): Effect.Effect<HelpDoc> =>
  Effect.gen(function*() {
    const helps: Array<HelpDoc> = []
    const present = (event: CliOutput.Presenter.Event) =>
      Effect.sync(() => void (event._tag === "Help" && helps.push(event.helpDoc)))
    yield* Command.runWith(sluice, { version: "0" })([...path, "--help"]).pipe(
      Effect.provideService(CliOutput.Presenter, { present }),
      Effect.provide(NodeServices.layer),
      Effect.orDie
    )
    const [help] = helps
    return help ?? (yield* Effect.die(new Error("it has not said anything")))
  })

const sectionOf = (name: string): string => {
  const [, section = ""] = page.split(`\n## sluice ${name}\n`)
  return section.split("\n## ")[0] ?? ""
}

/** The names in the first column of the table of a section whose first column is called so. */
const namesOf = (section: string, header: string): ReadonlyArray<string> => {
  const [, table = ""] = section.split(new RegExp(`\\n\\| ${header} +\\|.*\\n\\| -.*\\n`))
  const rows = table.split("\n")
  const end = rows.findIndex((row) => !row.startsWith("|"))
  return rows.slice(0, end).map((row) => /^\| `([^`]+)`/.exec(row)?.[1] ?? row)
}

/** The default of each flag in the table of a section. */
const defaultsOf = (section: string): ReadonlyMap<string, string> => {
  const [, table = ""] = section.split(/\n\| flag +\|.*\n\| -.*\n/)
  const rows = table.split("\n\n")[0]?.split("\n") ?? []
  const cells = rows.map((row) => row.split("|").map((cell) => cell.trim().replaceAll("`", "")))
  return new Map(cells.map(([, flag = "", , value = ""]) => [flag, value]))
}

const commands = ["probe", "watch", "top", "pools", "fleet"]

describe("the page of the command", () => {
  it.effect("has a section for each command, and no other", () =>
    Effect.gen(function*() {
      const help = yield* helpOf()
      const names = help.subcommands?.flatMap((group) => group.commands.map(({ name }) => name)) ?? []
      assert.sameMembers(names, commands)
      assert.sameMembers(Array.from(page.matchAll(/^## sluice (\S+)$/gm), ([, name]) => name), names)
      assert.sameMembers(
        Array.from(page.matchAll(/^\| \[`sluice (\S+)`\]/gm), ([, name]) => name),
        names
      )
    }))

  it.effect("names the flags that each command has from Effect", () =>
    Effect.gen(function*() {
      const { globalFlags = [] } = yield* helpOf()
      const [, line = ""] = /^(Each also has .*)$/m.exec(page) ?? []
      assert.sameMembers(
        Array.from(line.matchAll(/`--([a-z-]+)`/g), ([, name]) => name),
        globalFlags.map(({ name }) => name)
      )
    }))

  for (const name of commands) {
    it.effect(`lists the arguments and the flags of ${name}`, () =>
      Effect.gen(function*() {
        const { args = [], flags } = yield* helpOf(name)
        assert.sameMembers([...namesOf(sectionOf(name), "flag")], flags.map(({ name }) => `--${name}`))
        assert.sameMembers([...namesOf(sectionOf(name), "argument")], args.map(({ name }) => name))
      }))
  }

  it.effect("has the defaults that the commands say of themselves", () =>
    Effect.gen(function*() {
      let compared = 0
      for (const command of commands) {
        const { flags } = yield* helpOf(command)
        for (const { description, name } of flags) {
          const [, value] = /\(default ([^\s)]+)\)/.exec(String(description)) ?? []
          if (value === undefined) continue
          compared++
          const cell = defaultsOf(sectionOf(command)).get(`--${name}`) ?? ""
          assert.strictEqual(cell.split(";")[0], value, `${command} --${name}`)
        }
      }
      assert.isAtLeast(compared, 5)
    }))

  it("lists the actions of pools", () => {
    assert.sameMembers([...namesOf(sectionOf("pools"), "action")], [...actions])
  })
})
