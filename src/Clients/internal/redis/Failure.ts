/**
 * What goes wrong, as the `RedisError` of Effect's Redis service.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { RedisError } from "effect/persistence/Redis"
import { errorText, safeMessage } from "../../../internal/SafeText.ts"
import { TaggedError } from "../../../internal/TaggedError.ts"
import type { PoolError } from "../../../Pool/PoolError.ts"

/**
 * The server did not answer a command within `commandTimeout`. It may have run the command. It is the `cause` of a `RedisError`.
 *
 * @category errors
 * @since 0.1.0
 */
export class CommandTimeout extends TaggedError("CommandTimeout")<{
  readonly endpoint: string
  readonly after: Duration.Duration
  /** Commands of this connection that had no answer by then. */
  readonly pending: number
  /** Whether the connection was silent since the command was sent. Then it is closed. */
  readonly isSilent: boolean
}> {
  readonly code = "ETIMEDOUT"
  readonly isRetryable = true
  override get message(): string {
    const rest = this.isSilent ? "nor anything else; the connection is closed" : "while others were answered"
    return safeMessage(
      `${this.endpoint} did not answer a command within ${
        Duration.format(this.after)
      }, ${rest} (pending=${this.pending})`
    )
  }
}

/**
 * The command must not be sent where it was: it changes the state of a connection that others use, or its reserved connection was given
 * back. Nothing was sent. It is the `cause` of a `RedisError`.
 *
 * @category errors
 * @since 0.1.0
 */
export class CommandRefused extends TaggedError("CommandRefused")<{
  readonly command: string
  readonly rule: string
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(`${this.command} was not sent: ${this.rule}`)
  }
}

/** Effect's error has no text of its own, so that of the cause is its message. */
export const failed = (cause: unknown): RedisError =>
  Object.defineProperty(new RedisError({ cause }), "message", { value: errorText(cause), configurable: true })

const classNames = (error: object): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let type = Object.getPrototypeOf(error); type !== null; type = Object.getPrototypeOf(type)) {
    names.push(String(type.constructor?.name))
  }
  return names
}

/** Whether this is what the server has answered, as opposed to the end of a connection. */
export const isReply = (error: unknown): error is Error =>
  error instanceof Error && classNames(error).includes("ErrorReply")

/** The error that this one was made of. */
const innerOf = (error: unknown): unknown => {
  if (typeof error !== "object" || error === null) return undefined
  if ("reason" in error && typeof error.reason === "object") return error.reason
  return "cause" in error ? error.cause : undefined
}

/** The server's own answer in a chain of causes. */
const replyIn = (error: unknown, depth = 0): Error | undefined => {
  if (isReply(error)) return error
  return error === undefined || depth > 8 ? undefined : replyIn(innerOf(error), depth + 1)
}

/**
 * A borrow that got no connection. Where the server has refused it for good, as with a wrong password, its own answer is the cause, as
 * a plain client has it; otherwise the pool's error is, whose message has the counts.
 */
export const fromPool = (error: PoolError): RedisError =>
  failed(error.reason._tag === "ConnectFailed" ? replyIn(error) ?? error : error)
