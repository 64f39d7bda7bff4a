/**
 * The tables of docs/reference/monitor.md say what the code does.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { defaults } from "../../src/Monitor/Options.ts"

const page = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../docs/reference/monitor.md"), "utf8")

/** The rows of the table whose header begins so, each with its cells. */
const rowsUnder = (header: string): ReadonlyArray<ReadonlyArray<string>> => {
  const lines = page.slice(page.indexOf(`| ${header}`)).split("\n")
  const end = lines.findIndex((line) => !line.startsWith("|"))
  return lines.slice(2, end).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
}

const shown = (value: unknown): string => Duration.isDuration(value) ? Duration.format(value) : String(value)

describe("the documentation", () => {
  it("lists every option of the monitor with its default", () => {
    const rows = rowsUnder("option  ")
    assert.sameMembers(rows.map(([option]) => option?.replaceAll("`", "")), Object.keys(defaults))
    for (const [option = "", , text = ""] of rows) {
      const value = defaults[option.replaceAll("`", "") as keyof typeof defaults]
      if (value === undefined || option === "`origins`") continue
      const expected = Duration.isDuration(value)
        ? Duration.format(Duration.fromInputUnsafe(text as Duration.Input))
        : text
      assert.include(expected, shown(value), option)
    }
  })

  it("lists the values of every preset", () => {
    const presets = {
      conservative: Monitor.conservative,
      highPerformance: Monitor.highPerformance,
      constrained: Monitor.constrained
    }
    assert.deepStrictEqual(
      rowsUnder("preset  "),
      Object.entries(presets).map(([name, preset]) => [
        `\`${name}\``,
        `${preset.maxDescriptors}`,
        `${preset.warningThreshold}, ${preset.errorThreshold}`,
        `${(preset.maxMemory ?? 0) / 1024 ** 2} MiB`,
        `${preset.maxConnections}`
      ])
    )
  })
})
