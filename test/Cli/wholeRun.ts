import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

const main = Path.resolve(import.meta.dirname, "../../src/Cli/main.ts")

/**
 * Milliseconds that a run of the command which does nothing takes at this moment. A bound of wall time is a multiple of it, so
 * that it holds on a busy machine, and is tight on a quiet one.
 */
export const wholeRun = (): Promise<number> => {
  const begin = performance.now()
  return new Promise((resolve) => {
    ChildProcess.spawn(process.execPath, [main, "--version"], { stdio: "ignore" })
      .on("close", () => resolve(performance.now() - begin))
  })
}
