/**
 * What has to happen before the function's own code is loaded, for `NODE_OPTIONS="--import effect-sluice/LambdaPreload"`.
 *
 * **Details**
 *
 * - The extension that has Lambda send SIGTERM is registered before the runtime asks for its first invocation, also for a
 *   function that is bundled as CommonJS and cannot wait for it. An ES module can do without: see `ready` of
 *   `effect-sluice/Lambda`.
 * - On Lambda Managed Instances, where the function runs in worker threads, SIGTERM is passed on to all of them. There is no
 *   other way: a signal reaches the main thread alone, in which none of the function's own code runs.
 *
 * Elsewhere than on Lambda it does nothing. It exports nothing.
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
