/**
 * The failures of this client, as the `RedisError` of Effect's Redis service.
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
 * @stability stable
 */
export class CommandTimeout extends TaggedError("CommandTimeout")<{
  readonly endpoint: string
  readonly after: Duration.Duration
  /** The number of commands of this connection without an answer at that moment. */
  readonly pending: number
  /** Whether the server has sent nothing on the connection since the command. If so, the connection is closed. */
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
 * The command must not be sent on its connection: it would change the state of a shared connection, or its reserved connection was
 * given back. Nothing was sent. This error is the `cause` of a `RedisError`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
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

/** Makes an error with the message of its cause, because Effect's `RedisError` has no message of its own. */
export const failed = (cause: unknown): RedisError =>
  Object.defineProperty(new RedisError({ cause }), "message", { value: errorText(cause), configurable: true })

const classNames = (error: object): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let type = Object.getPrototypeOf(error); type !== null; type = Object.getPrototypeOf(type)) {
    names.push(String(type.constructor?.name))
  }
  return names
}

/** Whether an error is an answer of the server, and not the end of a connection. */
export const isReply = (error: unknown): error is Error =>
  error instanceof Error && classNames(error).includes("ErrorReply")

/** The error that is wrapped in an error. */
const innerOf = (error: unknown): unknown => {
  if (typeof error !== "object" || error === null) return undefined
  if ("reason" in error && typeof error.reason === "object") return error.reason
  return "cause" in error ? error.cause : undefined
}

/** The server's own answer in a chain of causes. */
export const replyIn = (error: unknown, depth = 0): Error | undefined => {
  if (isReply(error)) return error
  return error === undefined || depth > 8 ? undefined : replyIn(innerOf(error), depth + 1)
}

/**
 * The error of a borrow that got no connection. If the server has refused the login, the cause is the server's answer, as with a
 * plain client. Otherwise the cause is the pool's error, whose message has the counts.
 */
export const fromPool = (error: PoolError): RedisError =>
  failed(error.reason._tag === "ConnectFailed" ? replyIn(error) ?? error : error)
