/**
 * The side of a child process in its talk with the process that has started it: a JSON object in each line of standard input and
 * output. The child ends with its input, which ends when the parent does, also by a SIGKILL.
 */
import * as Readline from "node:readline"

/** Sends a message to the parent. */
export const say = (message: object): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** Calls a function with each message of the parent, until the input ends. Then the process ends, after `close`. */
export const listen = (onMessage: (message: unknown) => void): void => {
  // A terminal sends Ctrl-C to the whole process group, but the parent ends its children itself.
  process.on("SIGINT", () => {})
  process.on("SIGTERM", () => {})
  // The parent has ended, and the end of the input follows.
  process.stdout.on("error", () => {})
  const input = Readline.createInterface(process.stdin)
  input.on("line", (line) => onMessage(JSON.parse(line)))
  input.on("close", () => process.exit())
}
