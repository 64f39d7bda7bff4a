/**
 * What a Dockerfile says, without docker: its `COPY` lines fill a folder in the place of an image, its `RUN` lines run there, and its `CMD`
 * is returned. Instructions that the examples do not use throw.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Project from "./Project.ts"

/** The lines of a file that are not empty and no comments. */
const linesOf = (file: string): ReadonlyArray<string> =>
  Fs.readFileSync(file, "utf8").split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !line.startsWith("#")
  )

/** A path and the folders in which it is: a pattern that matches one of them excludes the path. */
const ancestry = (path: string): ReadonlyArray<string> =>
  path.split("/").map((_, index, names) => names.slice(0, index + 1).join("/"))

/** Whether `.dockerignore` excludes a file. The last pattern that matches decides. */
const isIgnored = (path: string, patterns: ReadonlyArray<string>): boolean => {
  let ignored = false
  for (const line of patterns) {
    const isException = line.startsWith("!")
    const pattern = line.slice(isException ? 1 : 0).replace(/^\/|\/$/g, "")
    if (ancestry(path).some((part) => Path.matchesGlob(part, pattern))) ignored = !isException
  }
  return ignored
}

/** The files that docker sends to the build. */
const contextOf = (folder: string): ReadonlyArray<string> => {
  const patterns = linesOf(Path.join(folder, ".dockerignore"))
  return Fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => Path.relative(folder, Path.join(entry.parentPath, entry.name)))
    .filter((path) => !isIgnored(path, patterns))
}

export interface Image {
  /** The name of the image that it begins with. */
  readonly from: string
  readonly files: ReadonlyArray<string>
  readonly command: ReadonlyArray<string>
}

/** Copies each source, a file or a folder, as `COPY` does. Each has to be in the context. */
const copy = (context: string, files: ReadonlyArray<string>, image: string, names: ReadonlyArray<string>): void => {
  const to = names.at(-1) ?? ""
  for (const name of names.slice(0, -1).map((source) => Path.normalize(source))) {
    const found = files.filter((file) => name === "." || file === name || file.startsWith(`${name}/`))
    if (found.length === 0) throw new Error(`COPY: ${name} is not there, or .dockerignore excludes it`)
    for (const file of found) {
      const target = Path.join(
        image,
        to,
        name === "." || file !== name ? Path.relative(name, file) : Path.basename(file)
      )
      Fs.mkdirSync(Path.dirname(target), { recursive: true })
      Fs.copyFileSync(Path.join(context, file), target)
    }
  }
}

/** Builds the image of a folder with a `Dockerfile` and a `.dockerignore` into another folder. */
export const build = (context: string, image: string): Image => {
  const files = contextOf(context)
  let from = ""
  let command: ReadonlyArray<string> = []
  for (const line of linesOf(Path.join(context, "Dockerfile"))) {
    const [instruction = "", ...words] = line.split(/\s+/)
    const rest = words.join(" ")
    if (instruction === "FROM") from = rest
    else if (instruction === "COPY") copy(context, files, image, words)
    else if (instruction === "RUN") Project.run("sh", ["-c", rest], { cwd: image })
    // The form without brackets starts a shell, which does not pass SIGTERM on, and `JSON.parse` throws.
    else if (instruction === "CMD") command = JSON.parse(rest)
    else if (instruction !== "WORKDIR" && instruction !== "USER") throw new Error(`${instruction} is not known here`)
  }
  return { from, files: Fs.readdirSync(image, { recursive: true, encoding: "utf8" }), command }
}
