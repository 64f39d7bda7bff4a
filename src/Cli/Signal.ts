/**
 * Which signal ended the command. The runner of the main program interrupts it on SIGINT and SIGTERM alike; its exit status
 * and the report of a demo say which it was.
 *
 * @since 0.1.0
 */

let first: NodeJS.Signals | undefined

const note = (signal: NodeJS.Signals): void => {
  first ??= signal
}

/** Listens for the rest of the process's life. */
export const listen = (): void => {
  process.once("SIGINT", note)
  process.once("SIGTERM", note)
}

/** The first signal that has come so far. */
export const firstSignal = (): NodeJS.Signals | undefined => first
