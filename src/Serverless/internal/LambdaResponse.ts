/**
 * The response of a streaming function as Effects.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { safeMessage } from "../../internal/SafeText.ts"
import { TaggedError } from "../../internal/TaggedError.ts"

/**
 * The stream that the runtime passes to a streaming handler: the part of Node's `Writable` that is used here.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ResponseStream {
  readonly write: (chunk: Uint8Array | string) => boolean
  readonly end: () => unknown
  readonly on: (event: "error", listener: (error: Error) => void) => unknown
  readonly once: (event: "close" | "drain" | "error", listener: (error?: Error) => void) => unknown
  readonly off: (event: "close" | "drain" | "error", listener: (error?: Error) => void) => unknown
  readonly setContentType: (type: string) => void
  readonly destroyed: boolean
  readonly writableEnded: boolean
}

/**
 * The response cannot be written: the client has disconnected, or the response has ended.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ResponseFailed extends TaggedError("ResponseFailed")<{
  readonly cause: unknown
  /** Bytes and characters that were written before. */
  readonly written: number
}> {
  readonly isRetryable = false
  override get message(): string {
    const why = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return safeMessage(`the response broke off after ${this.written} bytes: ${why}`)
  }
}

/**
 * The status, headers and cookies of a function URL, which precede the body.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface HttpHead {
  /** @default 200 */
  readonly statusCode?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly cookies?: ReadonlyArray<string> | undefined
}

/**
 * The response of one invocation. It is ended when the effect of the invocation succeeds.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Response {
  /** Writes a part of the body, and waits while the receiver is slower than the writer. */
  readonly write: (chunk: Uint8Array | string) => Effect.Effect<void, ResponseFailed>
  /** The media type, before the first part. @default application/octet-stream */
  readonly contentType: (type: string) => Effect.Effect<void, ResponseFailed>
  /** Status and headers for a function URL, before the first part and instead of {@link contentType}. */
  readonly head: (head: HttpHead) => Effect.Effect<void, ResponseFailed>
}

/** The media type of a response with a head, and the bytes after the head, from Lambda's documentation. */
const headType = "application/vnd.awslambda.http-integration-response"
const headEnd = new Uint8Array(8)

/** Writes to the runtime's stream. */
export class ResponseWriter implements Response {
  readonly #stream: ResponseStream
  #written = 0
  #failure: Error | undefined

  constructor(stream: ResponseStream) {
    this.#stream = stream
    // Without a listener the error would end the process.
    stream.on("error", (error) => this.#failure = error)
  }

  write(chunk: Uint8Array | string): Effect.Effect<void, ResponseFailed> {
    return Effect.suspend(() => {
      if (this.#isOver()) return Effect.fail(this.#failed(this.#failure ?? new Error("the stream is closed")))
      this.#written += chunk.length
      return this.#stream.write(chunk) ? Effect.void : this.#drained
    })
  }

  contentType(type: string): Effect.Effect<void, ResponseFailed> {
    return Effect.try({
      try: () => this.#stream.setContentType(type),
      catch: (cause) => this.#failed(cause)
    })
  }

  head({ cookies = [], headers = {}, statusCode = 200 }: HttpHead): Effect.Effect<void, ResponseFailed> {
    // Lambda's format, from typed values.
    // oxlint-disable-next-line effecttsgo/prefer-schema-over-json
    const text = JSON.stringify({ statusCode, headers, cookies })
    return this.contentType(headType).pipe(
      Effect.andThen(this.write(text)),
      Effect.andThen(this.write(headEnd))
    )
  }

  /** Ends the response. The runtime waits until it is delivered. */
  readonly end: Effect.Effect<void> = Effect.sync(() => {
    if (!this.#isOver()) this.#stream.end()
  })

  #isOver(): boolean {
    return this.#failure !== undefined || this.#stream.destroyed || this.#stream.writableEnded
  }

  #failed(cause: unknown): ResponseFailed {
    return new ResponseFailed({ cause, written: this.#written })
  }

  readonly #drained: Effect.Effect<void, ResponseFailed> = Effect.callback((resume) => {
    const onDrain = () => settle(Effect.void)
    const onEnd = (error?: Error) => settle(Effect.fail(this.#failed(error ?? new Error("the stream was closed"))))
    const stopListening = () => {
      this.#stream.off("drain", onDrain)
      this.#stream.off("error", onEnd)
      this.#stream.off("close", onEnd)
    }
    const settle = (effect: Effect.Effect<void, ResponseFailed>) => {
      stopListening()
      resume(effect)
    }
    this.#stream.once("drain", onDrain)
    this.#stream.once("error", onEnd)
    this.#stream.once("close", onEnd)
    return Effect.sync(stopListening)
  })
}
