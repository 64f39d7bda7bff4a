/**
 * The errors of a JSON-RPC client.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { cut, showBytes } from "../internal/Printable.ts"
import { safeMessage } from "../internal/SafeText.ts"
import { ReasonError, TaggedError } from "../internal/TaggedError.ts"
import type { TcpConnectionError } from "./TcpConnectionError.ts"

/** How much of a server's text a message quotes. */
const quotedChars = 200

/**
 * The server answered the request with an error. The connection can still be used.
 *
 * **Details**
 *
 * `isRetryable` is always `false`: the server has received the request, and only the caller knows whether its method may be
 * called twice. The same holds for the codes -32000 to -32099, because servers use them for very different errors. A program
 * that knows its server's codes can give the retry policy a `classify`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class RemoteError extends TaggedError("RemoteError")<{
  readonly method: string
  /** A whole number: -32768 to -32000 are reserved by the protocol, all others are the application's. */
  readonly code: number
  /** The server's text, with up to `maxLineBytes` bytes. The message of this error has the first 200 characters of the text. */
  readonly text: string
  /** Further data of the server; `undefined` if there is none. */
  readonly data: unknown
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `the server refused ${this.method} with error ${this.code}: ${cut(this.text, quotedChars)}`
    )
  }
}

/**
 * No answer came in time (`phase` is `answer`; the server may still execute the request), or the message could not be sent in
 * time because the peer does not read (`phase` is `send`). The connection stays open, and a late answer is discarded. If no
 * answer to any request has come since this one was sent, a pool does not lease the connection again.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class RequestTimeout extends TaggedError("RequestTimeout")<{
  readonly method: string
  /** The request's timeout; longer if progress has extended it. */
  readonly after: Duration.Duration
  readonly phase: "send" | "answer"
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      this.phase === "answer"
        ? `no answer to ${this.method} within ${Duration.format(this.after)}`
        : `${this.method} could not be sent within ${Duration.format(this.after)}: the peer does not read`
    )
  }
}

/**
 * The peer sent a line that is no JSON-RPC message, or an answer to a request that was not sent. The connection is destroyed.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class MalformedMessage extends TaggedError("MalformedMessage")<{
  /** The first 200 characters of the line, or its first 200 bytes if it is not UTF-8. */
  readonly line: string | Uint8Array
  /** The rule that it breaks, as the rest of the sentence "it must ...". */
  readonly rule: string
}> {
  readonly isRetryable = false
  override get message(): string {
    const quoted = typeof this.line === "string" ? JSON.stringify(this.line) : showBytes(this.line)
    return safeMessage(`malformed JSON-RPC message: it must ${this.rule}, but it is ${quoted}`)
  }
}

/**
 * The peer sent more than `maxLineBytes` bytes without the end of a line. The connection is destroyed.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class LineTooLong extends TaggedError("LineTooLong")<{
  /** The limit in bytes. */
  readonly limit: number
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(`the peer sent a line of more than ${this.limit} bytes (maxLineBytes)`)
  }
}

/**
 * The server sent an error that belongs to no request (its id is `null`), such as -32700: it could not read a message of this
 * client. It is unknown which message that was, so all pending requests fail, and the connection is closed.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class UnattributedError extends TaggedError("UnattributedError")<{
  /** A whole number: -32700 for what is no JSON, -32600 for what is no request. */
  readonly code: number
  /** The server's text, with up to `maxLineBytes` bytes. The message of this error has the first 200 characters of the text. */
  readonly text: string
  /** Further data of the server; `undefined` if there is none. */
  readonly data: unknown
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `the server sent error ${this.code}, which belongs to no request: ${cut(this.text, quotedChars)}`
    )
  }
}

/**
 * The server uses a revision of MCP that this client does not support: see `mcp.supportedVersions`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class UnsupportedVersion extends TaggedError("UnsupportedVersion")<{
  /** The revision that was asked for. */
  readonly requested: string
  /** The revision in the server's answer. The message of this error has the first 200 characters of the revision. */
  readonly answered: string
  readonly supported: ReadonlyArray<string>
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `the server speaks MCP ${cut(JSON.stringify(this.answered), quotedChars)}, but this client asked for ` +
        `${this.requested} and supports ${this.supported.join(", ")}`
    )
  }
}

/**
 * The connection ended before the answer came. It is retryable if nothing of the message was sent; otherwise the server may
 * have executed the request.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ConnectionLost extends TaggedError("ConnectionLost")<{
  /** Whether any of the message may have reached the peer. */
  readonly sent: boolean
  readonly cause: TcpConnectionError
}> {
  get isRetryable(): boolean {
    return !this.sent
  }
  override get message(): string {
    return safeMessage(this.cause.message)
  }
}

/**
 * The MCP handshake failed while the connection was being opened, so there is no connection. `cause` is the reason. It is
 * retryable if there was no answer: a handshake may be repeated.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class HandshakeFailed extends TaggedError("HandshakeFailed")<{
  readonly cause:
    | RemoteError
    | UnattributedError
    | RequestTimeout
    | MalformedMessage
    | LineTooLong
    | ConnectionLost
    | UnsupportedVersion
}> {
  get isRetryable(): boolean {
    return this.cause._tag === "RequestTimeout" || this.cause._tag === "ConnectionLost"
  }
  override get message(): string {
    return safeMessage(`the MCP handshake failed: ${this.cause.message}`)
  }
}

/**
 * Why a JSON-RPC client failed.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export type JsonRpcErrorReason =
  | RemoteError
  | UnattributedError
  | RequestTimeout
  | MalformedMessage
  | LineTooLong
  | ConnectionLost
  | UnsupportedVersion
  | HandshakeFailed

/**
 * A JSON-RPC client failed; `reason` says how. `Effect.catchReason("JsonRpcError", "RemoteError", f)` handles one.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class JsonRpcError extends ReasonError("JsonRpcError")<JsonRpcErrorReason> {}

/** A copy of the beginning of a text. A slice would keep the whole text in memory. */
const beginning = (text: string): string => Buffer.from(text.slice(0, quotedChars), "utf16le").toString("utf16le")

/** The error for a malformed line, which quotes its beginning. */
export const malformed = (line: string | Uint8Array, rule: string): MalformedMessage =>
  new MalformedMessage({ line: typeof line === "string" ? beginning(line) : line.slice(0, quotedChars), rule })
