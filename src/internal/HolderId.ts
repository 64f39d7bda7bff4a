/**
 * Who this process is to the servers that it connects to.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Crypto from "node:crypto"
import { threadId } from "node:worker_threads"

/**
 * A name for this instance that no other one has: a random UUID, and the number of the thread.
 *
 * It is made when it is first asked for, and not when the module is loaded: a platform may take a snapshot of a process that
 * has only been initialised, and start many from it. For the same reason the random bytes are drawn when they are needed, and not taken
 * from those that Node keeps in store.
 */
export const HolderId: Context.Reference<string> = Context.Reference<string>("effect-sluice/internal/HolderId", {
  defaultValue: () => `${Crypto.randomUUID({ disableEntropyCache: true })}/${threadId}`
})
