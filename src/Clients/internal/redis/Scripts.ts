/**
 * Lua scripts by their digest.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Redis, RedisError, Script } from "effect/persistence/Redis"
import { createHash } from "node:crypto"
import { isReply } from "./Failure.ts"

type Service = Redis["Service"]

const digests = new WeakMap<object, string>()

/** What the server calls a script. */
const digestOf = (script: { readonly lua: string }): string => {
  const known = digests.get(script)
  if (known !== undefined) return known
  const digest = createHash("sha1").update(script.lua).digest("hex")
  digests.set(script, digest)
  return digest
}

const isUnknown = ({ cause }: RedisError): boolean => isReply(cause) && cause.message.startsWith("NOSCRIPT")

/**
 * Runs scripts by their digest. If the server does not know a script, as after a restart, the script is sent as text. The server
 * knows it after that, so no further command is needed to load it.
 */
export const evalWith = (send: Service["send"]): Service["eval"] =>
<
  Config extends {
    readonly params: ReadonlyArray<unknown>
    readonly result: unknown
  }
>(script: Script<Config>) =>
(...params: Config["params"]): Effect.Effect<Config["result"], RedisError> =>
  Effect.suspend(() => {
    const args = [String(script.numberOfKeys(...params)), ...script.params(...params).map(String)]
    return Effect.catchIf(
      send<Config["result"]>("EVALSHA", digestOf(script), ...args),
      isUnknown,
      () => send<Config["result"]>("EVAL", script.lua, ...args)
    )
  })
