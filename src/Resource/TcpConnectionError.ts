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

/**
 * The codes of local mistakes, and of certificates and protocols that do not match. Every other failure of a dial may be
 * temporary.
 */
const permanent = new RegExp(
  "^(EACCES|EPERM|EINVAL|EAFNOSUPPORT|EPROTONOSUPPORT|EPROTO|HOSTNAME_MISMATCH|PATH_LENGTH_EXCEEDED)$" +
    "|^(CERT|CRL|UNABLE_TO|INVALID|ERROR_IN|ERR_(?!SOCKET_C|STREAM_|TLS_HANDSHAKE_TIMEOUT))|SELF_SIGNED"
)

const isPermanent = (code: string | undefined): boolean => code !== undefined && permanent.test(code)

const nodeCodeOf = (cause: unknown): string | undefined =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined

/** The code of Node's error, also if a `ResourceExhausted` wraps it. */
const codeOf = (cause: unknown): string | undefined =>
  nodeCodeOf(Predicate.isTagged(cause, "ResourceExhausted") && cause instanceof Error ? cause.cause : cause)

/**
 * The phase of a dial at its timeout: the look-up of the name, the connection, or the TLS handshake.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type DialPhase = "LookUp" | "Connect" | "Handshake"

const unfinished: Readonly<Record<DialPhase, (endpoint: Endpoint) => string>> = {
  LookUp: (endpoint) => `the name of ${endpoint} was not resolved`,
  Connect: (endpoint) => `${endpoint} did not accept the connection`,
  Handshake: (endpoint) => `${endpoint} accepted the connection, but did not complete the TLS handshake,`
}

/**
 * The connection was not established within `connectTimeout`. Its socket is destroyed. `cause` has the failures of other
 * addresses of the host, if there are any.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
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
 * The dial, or the TLS handshake after it, failed. `code` is the code of Node's error, and `cause` is one of:
 *
 * - Node's error;
 * - an `AggregateError` with one error for each address, and with the code of the most informative one;
 * - the monitor's `ResourceExhausted`, if the gate has refused the dial;
 * - a `ResourceExhausted` whose cause is Node's error, if a dial failed while no descriptor was free.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
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
   * Whether the connection had been used successfully before, and nothing was received since the last write. Then the peer most
   * likely had closed the connection while it was idle, and did not get the request. The request may be repeated on another
   * connection, unless it must never be executed twice.
   */
  readonly reused?: boolean | undefined
}

const textOfUse = ({ reused }: Use): string => reused === true ? "; reused, and nothing received since" : ""

/**
 * The connection has ended: the peer or this side closed it. A request that was under way may have been executed. If `reused`
 * is `true`, it most likely was not.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
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
 * A read has waited for `readTimeout`, and nothing was received. The answer may still come, so a pool does not lease the
 * connection again.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
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
 * Writing failed. It is unknown whether the peer received a part of the data. `cause` is Node's error, `code` its code.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
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
 * @stability stable
 */
export class TcpConnectionError extends ReasonError("TcpConnectionError")<TcpConnectionErrorReason> {}

/** The error of `connect` for a dial that failed with `cause`. */
export const dialFailed = (endpoint: Endpoint, cause: unknown): TcpConnectionError =>
  new TcpConnectionError({ reason: new DialFailed({ endpoint, cause }) })
