/** The ways in which a process ends, and what its connections are doing meanwhile. */

/** Each way and the exit status that it has. */
export const statuses = {
  "success": 0,
  "typed failure": 1,
  "defect": 1,
  "interruption": 130,
  "timeout": 1,
  "SIGHUP": 129,
  "SIGTERM": 143,
  "SIGINT": 130,
  "second SIGINT": 130,
  "uncaught exception": 1,
  "unhandled rejection": 1,
  "process.exit in user code": 7,
  "empty event loop": 13
} as const

/** SIGKILL leaves no process that could have a status. */
export type Way = keyof typeof statuses | "SIGKILL"

export const states = [
  "idle connections",
  "a connection in use",
  "a connect in progress",
  "a close in progress",
  "a hung peer"
] as const

/** Bytes that the program has not read are no state in which a pool would leave a connection, but a borrower may. */
export type State = typeof states[number] | "unread bytes"

/** What a connection in use has written and the peer has not read: more than the kernel's buffers take, in bytes. */
export const pending = 24 * 1024 * 1024

/** The times of the program, in milliseconds. */
export const closeTimeout = 1200
export const cleanupTimeout = 4000
