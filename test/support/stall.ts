/** Keeps the event loop from turning for so many milliseconds, as a long computation does. */
export const stall = (millis: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
}
