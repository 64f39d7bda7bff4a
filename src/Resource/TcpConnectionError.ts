/**
 * The errors of a TCP connection.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import { errorText, safeMessage } from "../internal/SafeText.ts"
import { ReasonError, TaggedError } from "../internal/TaggedError.ts"
import type { Endpoint } from "./Endpoint.ts"

/** Local mistakes, and certificates and protocols that do not match. Every other failure of a dial may be temporary. */
const permanent = new RegExp(
  "^(EACCES|EPERM|EINVAL|EAFNOSUPPORT|EPROTONOSUPPORT|EPROTO|HOSTNAME_MISMATCH|PATH_LENGTH_EXCEEDED)$" +
    "|^(CERT|CRL|UNABLE_TO|INVALID|ERROR_IN|ERR_(?!SOCKET_C|STREAM_|TLS_HANDSHAKE_TIMEOUT))|SELF_SIGNED"
)

const isPermanent = (code: string | undefined): boolean => code !== undefined && permanent.test(code)

const nodeCodeOf = (cause: unknown): string | undefined =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined

/** The code of Node's error, also inside of a `ResourceExhausted`. */
const codeOf = (cause: unknown): string | undefined =>
  nodeCodeOf(Predicate.isTagged(cause, "ResourceExhausted") && cause instanceof Error ? cause.cause : cause)

/**
 * The phase of a dial at its timeout: the look-up of the name, the connection, or the TLS handshake.
 *
 * @category models
 * @since 0.1.0
 */
export type DialPhase = "LookUp" | "Connect" | "Handshake"

const unfinished: Readonly<Record<DialPhase, (endpoint: Endpoint) => string>> = {
  LookUp: (endpoint) => `the name of ${endpoint} was not resolved`,
  Connect: (endpoint) => `${endpoint} did not accept the connection`,
  Handshake: (endpoint) => `${endpoint} accepted the connection, but did not complete the TLS handshake,`
}

/**
 * The connection was not established within `connectTimeout`. The late socket is destroyed. `cause` is what came of other
 * addresses of the host that were tried meanwhile, if anything did.
 *
 * @category errors
 * @since 0.1.0
 */
export class DialTimeout extends TaggedError("DialTimeout")<{
  readonly endpoint: Endpoint
  readonly after: Duration.Duration
  readonly phase: DialPhase
  readonly cause?: unknown
}> {
  readonly code = "ETIMEDOUT"
  readonly isRetryable = true
  override get message(): string {
    const others = this.cause === undefined ? "" : `; other addresses: ${errorText(this.cause)}`
    return safeMessage(`${unfinished[this.phase](this.endpoint)} within ${Duration.format(this.after)}${others}`)
  }
}

/**
 * The dial, or the TLS handshake after it, failed. `cause` is Node's error, an `AggregateError` of one for each address with
 * the code of the most telling, or the monitor's `ResourceExhausted`: alone where the gate refused the dial, and with Node's
 * error as its own cause where a dial failed while no descriptor was free on this host. `code` is Node's either way.
 *
 * @category errors
 * @since 0.1.0
 */
export class DialFailed extends TaggedError("DialFailed")<{
  readonly endpoint: Endpoint
  readonly cause: unknown
}> {
  get code(): string | undefined {
    return codeOf(this.cause)
  }
  get isRetryable(): boolean {
    return !isPermanent(this.code)
  }
  override get message(): string {
    return safeMessage(`connecting to ${this.endpoint} failed: ${errorText(this.cause)}`)
  }
}

/** How the connection was used before it ended. */
interface Use {
  /**
   * The connection had served an exchange before, and nothing was received since what was written last, if that was sent at
   * all. Most likely the peer had closed it while it was idle: on another connection the same may be tried again, unless it
   * must not be done twice under any circumstances.
   */
  readonly reused?: boolean | undefined
}

const textOfUse = ({ reused }: Use): string => reused === true ? "; reused, and nothing received since" : ""

/**
 * The connection has ended: the peer closed it, or we did. A request that was under way may or may not have been done;
 * `reused` says when it most likely was not.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionClosed extends TaggedError("ConnectionClosed")<
  Use & {
    readonly endpoint: Endpoint
    /** Bytes that had been received before the end. */
    readonly bytesRead: number
  }
> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `the connection to ${this.endpoint} is closed (after ${this.bytesRead} bytes received${textOfUse(this)})`
    )
  }
}

/**
 * Nothing was received for `readTimeout` while a read waited for it. The answer may still come, so a pool does not lease the
 * connection again.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadTimeout extends TaggedError("ReadTimeout")<{
  readonly endpoint: Endpoint
  readonly after: Duration.Duration
  /** Bytes that had been received before. */
  readonly bytesRead: number
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `${this.endpoint} sent nothing within ${Duration.format(this.after)} (after ${this.bytesRead} bytes received)`
    )
  }
}

/**
 * Reading failed, most often because the peer reset the connection. `cause` is Node's error, `code` its code.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadFailed extends TaggedError("ReadFailed")<
  Use & {
    readonly endpoint: Endpoint
    readonly cause: unknown
  }
> {
  get code(): string | undefined {
    return codeOf(this.cause)
  }
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(`reading from ${this.endpoint} failed: ${errorText(this.cause)}${textOfUse(this)}`)
  }
}

/**
 * Writing failed. Whether the peer got any of it is not known. `cause` is Node's error, `code` its code.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteFailed extends TaggedError("WriteFailed")<
  Use & {
    readonly endpoint: Endpoint
    readonly cause: unknown
  }
> {
  get code(): string | undefined {
    return codeOf(this.cause)
  }
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(`writing to ${this.endpoint} failed: ${errorText(this.cause)}${textOfUse(this)}`)
  }
}

/**
 * Why a TCP connection failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type TcpConnectionErrorReason =
  | DialTimeout
  | DialFailed
  | ConnectionClosed
  | ReadFailed
  | ReadTimeout
  | WriteFailed

/**
 * A TCP connection failed; `reason` says how. `Effect.catchReason("TcpConnectionError", "DialTimeout", f)` handles one.
 *
 * @category errors
 * @since 0.1.0
 */
export class TcpConnectionError extends ReasonError("TcpConnectionError")<TcpConnectionErrorReason> {}

/** The error of `connect` for a dial that failed with `cause`. */
export const dialFailed = (endpoint: Endpoint, cause: unknown): TcpConnectionError =>
  new TcpConnectionError({ reason: new DialFailed({ endpoint, cause }) })
