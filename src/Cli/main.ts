#!/usr/bin/env node
/**
 * The bin. It is small so that it is there at once: a signal that comes while the rest is being loaded, which takes the
 * better part of a second, ends the process in words and with the right status instead of killing it.
 *
 * @since 0.1.0
 */
import * as Module from "node:module"

const statuses = { SIGINT: 130, SIGTERM: 143 }

let isLoaded = false

const stop = (signal: "SIGINT" | "SIGTERM"): void => {
  if (isLoaded) return
  process.stderr.write(`sluice: ${signal} before anything was opened\n`)
  process.exit(statuses[signal])
}

// The listeners stay: a signal that came while the code was being loaded is delivered after that, and taking the last
// listener away would drop it.
process.on("SIGINT", stop)
process.on("SIGTERM", stop)
// From the second start on the code is compiled already, which saves a third of a second.
Module.enableCompileCache?.()

const { run } = await import("./Sluice.ts")
isLoaded = true
run()
