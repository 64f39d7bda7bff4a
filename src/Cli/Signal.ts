/**
 * The signal that ended the command. Effect's runner interrupts the program on SIGINT and SIGTERM alike, but the exit
 * status differs.
 *
 * @since 0.1.0
 */

let first: NodeJS.Signals | undefined

const note = (signal: NodeJS.Signals): void => {
  first ??= signal
}

/** Listens until the process ends. */
export const listen = (): void => {
  process.once("SIGINT", note)
  process.once("SIGTERM", note)
}

/** The first signal so far. */
export const firstSignal = (): NodeJS.Signals | undefined => first
