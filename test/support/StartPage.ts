/**
 * What a page of docs/start tells its reader to do: the commands to run, and the files to save.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { cellsOf } from "./Documents.ts"

const root = Path.resolve(import.meta.dirname, "../..")

/** A line of `curl` with the answer that its comment has. */
export interface ShownRequest {
  readonly path: string
  /** What it sends, if it sends something. */
  readonly body: { readonly text: string; readonly type: string } | undefined
  /** Without one, it is any status of a success. */
  readonly status: number | undefined
  /** The first line of the answer. */
  readonly answer: string
}

export interface StartPage {
  /** The lines of its shell blocks, without comments. */
  readonly commands: ReadonlyArray<string>
  /** The text of each file by its name: a block `ts NAME` is the file NAME, a block `json` is the `tsconfig.json`. */
  readonly files: Readonly<Record<string, string>>
  /** The packages that its commands `npm install` name, without `effect-sluice`, as `name@range`. */
  readonly packages: ReadonlyArray<string>
  /** What it asks its program with `curl`, in order. */
  readonly requests: ReadonlyArray<ShownRequest>
  /** The second cell of the row in a table that has a text in its first one. */
  readonly happens: (when: string) => string
}

/** The body of a line of `curl`, as `--json BODY`, or as `-H 'content-type: TYPE' -d BODY`. */
const bodyIn = (command: string): ShownRequest["body"] => {
  const [, option, text] = / (--json|-d|--data) '([^']*)'/.exec(command) ?? []
  if (text === undefined) return undefined
  const [, type = "application/x-www-form-urlencoded"] = / -H '[Cc]ontent-[Tt]ype: ([^']*)'/.exec(command) ?? []
  return { text, type: option === "--json" ? "application/json" : type }
}

/** A comment is an answer, or a status and the first line of an answer: `400: no such thing`. */
const requestOf = (line: string): ShownRequest => {
  const [command = "", comment] = line.split(/\s+# /)
  const [, path] = / localhost:3000(\/\S*)/.exec(command) ?? []
  if (path === undefined || comment === undefined) throw new Error(`no path or no answer: ${line}`)
  const [, status, answer = comment] = /^(\d{3}): (.*)$/.exec(comment) ?? []
  const body = bodyIn(command)
  const rest = command.replaceAll(/ (?:--json|--data|-[dH]) '[^']*'| localhost:3000\/\S*/g, "")
  if (rest.trim() !== "curl") throw new Error(`not understood: ${rest}`)
  return { path, body, status: status === undefined ? undefined : Number(status), answer }
}

/** Reads a page, such as `first-pool`. */
export const startPage = (name: string): StartPage => {
  const text = Fs.readFileSync(Path.join(root, "docs/start", `${name}.md`), "utf8")
  const blocks = Array.from(text.matchAll(/^```(\w+)[ ]?(\S*)[^\n]*\n([\s\S]*?)\n```$/gm))
  const lines = blocks.filter(([, language]) => language === "sh")
    .flatMap(([, , , body = ""]) => body.replaceAll(/\\\n\s*/g, "").split("\n"))
  const commands = lines.map((line) => line.replace(/\s+#.*$/, ""))
  const files = blocks.flatMap(([, language, file = "", body = ""]) =>
    language === "json" ? [["tsconfig.json", body]] : file.endsWith(".ts") ? [[file, body]] : []
  )
  const installs = commands.filter((command) => command.startsWith("npm install "))
  return {
    commands,
    files: Object.fromEntries(files),
    packages: installs.flatMap((command) =>
      command.split(" ").slice(2).filter((word) => !word.startsWith("-") && word !== "effect-sluice")
    ),
    requests: lines.filter((line) => line.startsWith("curl ")).map(requestOf),
    happens: (when) => {
      const rows = text.split("\n").filter((line) => line.startsWith("|")).map(cellsOf)
      const [found, ...others] = rows.filter(([first]) => first?.includes(when))
      if (found === undefined || others.length > 0) throw new Error(`${name} has no row, or several, with "${when}"`)
      return found[1] ?? ""
    }
  }
}
