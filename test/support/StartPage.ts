/**
 * What a page of docs/start tells its reader to do: the commands to run, and the files to save.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")

export interface StartPage {
  /** The lines of its shell blocks, without comments. */
  readonly commands: ReadonlyArray<string>
  /** The text of each file by its name: a block `ts NAME` is the file NAME, a block `json` is the `tsconfig.json`. */
  readonly files: Readonly<Record<string, string>>
  /** The packages that its commands `npm install` name, without `effect-sluice`, as `name@range`. */
  readonly packages: ReadonlyArray<string>
}

/** Reads a page, such as `first-pool`. */
export const startPage = (name: string): StartPage => {
  const text = Fs.readFileSync(Path.join(root, "docs/start", `${name}.md`), "utf8")
  const blocks = Array.from(text.matchAll(/^```(\w+)[ ]?(\S*)[^\n]*\n([\s\S]*?)\n```$/gm))
  const commands = blocks.filter(([, language]) => language === "sh")
    .flatMap(([, , , body = ""]) => body.split("\n").map((line) => line.replace(/\s+#.*$/, "")))
  const files = blocks.flatMap(([, language, file = "", body = ""]) =>
    language === "json" ? [["tsconfig.json", body]] : file.endsWith(".ts") ? [[file, body]] : []
  )
  const installs = commands.filter((command) => command.startsWith("npm install "))
  return {
    commands,
    files: Object.fromEntries(files),
    packages: installs.flatMap((command) =>
      command.split(" ").slice(2).filter((word) => !word.startsWith("-") && word !== "effect-sluice")
    )
  }
}
