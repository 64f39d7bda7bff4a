/**
 * The name of this process at the servers to which it connects.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * A unique name for this instance: a random UUID and the number of the thread.
 *
 * It is created on first use, not when the module is loaded: a platform may snapshot an initialized process and start many
 * instances from it. For the same reason Node's cache of random bytes is not used.
 */
export const HolderId: Context.Reference<string> = /*#__PURE__*/ Context.Reference<string>(
  "effect-sluice/internal/HolderId",
  {
    defaultValue: () => {
      const { threadId } = process.getBuiltinModule("node:worker_threads")
      return `${process.getBuiltinModule("node:crypto").randomUUID({ disableEntropyCache: true })}/${threadId}`
    }
  }
)
