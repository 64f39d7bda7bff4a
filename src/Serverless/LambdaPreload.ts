/**
 * Work that must happen before the function's own code is loaded, with `NODE_OPTIONS="--import effect-sluice/LambdaPreload"`.
 *
 * **Details**
 *
 * - Registers the extension that makes Lambda send SIGTERM before the runtime requests its first invocation, even for a
 *   function that is bundled as CommonJS and cannot wait for it. An ES module does not need this: see `ready` of
 *   `effect-sluice/Lambda`.
 * - Forwards SIGTERM to all worker threads on Lambda Managed Instances, which run the function in worker threads. A signal
 *   reaches only the main thread, in which the function's code does not run.
 *
 * It does nothing outside Lambda, and exports nothing.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { isMainThread } from "node:worker_threads"
import { isOnLambda, register } from "./internal/LambdaExtension.ts"
import { terminator } from "./internal/Termination.ts"

if (isMainThread && isOnLambda()) {
  terminator()
  await Effect.runPromise(register)
}
