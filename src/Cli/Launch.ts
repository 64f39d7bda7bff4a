/**
 * Starts a command. This module loads quickly, because it imports no other code. Loading the command takes most of a second: a
 * signal in that time ends the process with one line and the correct exit status.
 *
 * @since 0.1.0
 */
import * as Module from "node:module"

const statuses = { SIGINT: 130, SIGTERM: 143 }

/** The package that only commands need. It is an optional peer dependency. */
const needed = "@effect/platform-node"

/** The line for a package that is not installed; `undefined` for any other error. */
const missingText = (name: string, error: unknown): string | undefined =>
  error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND" && error.message.includes(needed)
    ? `${name}: this command needs ${needed}, which is not installed: npm install ${needed}@4\n`
    : undefined

/** Loads a command and runs it. `name` begins each line that this module prints. */
export const launch = (name: string, load: () => Promise<{ readonly run: () => void }>): Promise<void> => {
  let isLoaded = false
  const stop = (signal: "SIGINT" | "SIGTERM"): void => {
    if (isLoaded) return
    process.stderr.write(`${name}: ${signal} before anything was opened\n`)
    process.exit(statuses[signal])
  }
  // The listeners stay, because a signal that came during loading is delivered only afterwards.
  process.on("SIGINT", stop)
  process.on("SIGTERM", stop)
  // The second start and later ones use compiled code, which saves a third of a second.
  Module.enableCompileCache?.()
  return load().then(({ run }) => {
    isLoaded = true
    run()
  }, (error: unknown) => {
    const text = missingText(name, error)
    if (text === undefined) throw error
    process.stderr.write(text)
    process.exitCode = 1
  })
}
