/**
 * Work that must happen before the function's own code is loaded, with `NODE_OPTIONS="--import effect-sluice/LambdaPreload"`.
 *
 * **Details**
 *
 * - Registers the extension that makes Lambda send SIGTERM. This happens before the runtime requests its first invocation, also for a
 *   function that is bundled as CommonJS and cannot wait for the registration. An ES module does not need this: see `ready` of
 *   `effect-sluice/Lambda`.
 * - On Lambda Managed Instances, forwards SIGTERM to all worker threads. There the function runs only in worker threads, but a signal
 *   reaches only the main thread.
 *
 * It does nothing outside Lambda, and exports nothing.
 *
 * @since 0.1.0
 * @stability experimental
 */
import * as Effect from "effect/Effect"
import { isMainThread } from "node:worker_threads"
import { isOnLambda, register } from "./internal/LambdaExtension.ts"
import { terminator } from "./internal/Termination.ts"

if (isMainThread && isOnLambda()) {
  terminator()
  await Effect.runPromise(register)
}
