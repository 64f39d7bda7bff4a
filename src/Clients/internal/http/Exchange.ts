/**
 * One request and its answer: a lease of a connection from before the request is sent until the answer has ended.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { IncomingHttpHeaders } from "node:http"
import type { Duplex, Readable } from "node:stream"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import { type HttpConnection, RequestNotSent } from "./HttpConnection.ts"
import { type PendingBody, type UnreadBodies, UnreadBody } from "./UnreadBodies.ts"

type Controller = Undici.Dispatcher.DispatchController
type RawHeaders = NonNullable<Controller["rawHeaders"]> | null
type Handler = Undici.Dispatcher.DispatchHandler

/** What the exchanges of a dispatcher share. */
export interface Exchanges {
  readonly pool: ConnectionPool.ConnectionPool<string, HttpConnection>
  readonly unread: UnreadBodies | undefined
  /** The error of a request that was aborted without a reason. */
  readonly aborted: () => Error
  /** Reports a body that was not read, with the context of its request. */
  readonly reportUnread: (origin: string, after: Duration.Duration, context: Context.Context<never>) => void
}

/** A request before it has a connection. */
export interface Request {
  readonly key: string
  readonly options: Undici.Dispatcher.DispatchOptions
  readonly handler: Handler
  readonly context: Context.Context<never>
  /** The body that the caller reads from, as soon as there is one. `undefined` if the caller is given no stream. */
  readonly reader: { body: Readable | undefined } | undefined
}

/** Whether the server closes the connection after this answer, or too soon after it for another request. */
const isLastAnswer = (headers: IncomingHttpHeaders): boolean => {
  const { connection } = headers
  if (connection !== undefined && /\bclose\b/i.test(connection)) return true
  const hint = headers["keep-alive"]
  return typeof hint === "string" && Number(/timeout=\s*(\d+)/i.exec(hint)?.[1]) <= 2
}

/** The most attempts of a request whose connection ends before the request was written. */
const mostAttempts = 3

/** The site of a request is the place of its caller's fiber: the stack shows undici. */
const ofFiber: ConnectionPool.BorrowOptions = { site: "fiber" }

/**
 * One exchange. It is the handler that undici's client calls, and the controller that the caller's handler gets. As a controller it
 * works before the request has a connection.
 */
export class Exchange implements Handler, Controller, PendingBody {
  rawHeaders: RawHeaders = null
  rawTrailers: RawHeaders = null
  readonly #shared: Exchanges
  readonly #request: Request
  #connection: HttpConnection | undefined
  #controller: Controller | undefined
  /** Ends the lease. */
  #resume: ((effect: Effect.Effect<void, Error>) => void) | undefined
  #fiber: Fiber.Fiber<void, unknown> | undefined
  #attempts = 0
  #isUnsent = false
  #isAborted = false
  /** The body has a reader: the answer was resumed after a pause. */
  #isRead = false
  #reason: Error | undefined
  /** The caller's handler was called with the end of the answer or with an error. */
  #isOver = false

  constructor(shared: Exchanges, request: Request) {
    this.#shared = shared
    this.#request = request
  }

  start(): void {
    this.#request.handler.onRequestStart?.(this, null)
    if (this.#isAborted) this.#fail(this.#abortError)
    else this.#borrow()
  }

  #borrow(): void {
    this.#attempts++
    this.#isUnsent = false
    const { context, key } = this.#request
    const lease = ConnectionPool.use(this.#shared.pool, key, (connection) => this.#send(connection), ofFiber)
    this.#fiber = Effect.runForkWith(context)(lease)
    this.#fiber.addObserver((exit) => this.#ended(exit))
  }

  #send(connection: HttpConnection): Effect.Effect<void, Error> {
    return Effect.callback<void, Error>((resume) => {
      this.#connection = connection
      this.#resume = resume
      connection.client.dispatch(this.#request.options, this)
      return Effect.sync(() => this.#withdraw(connection))
    })
  }

  /** Ends the lease before the answer has ended: the lease has expired, or the request was aborted. */
  #withdraw(connection: HttpConnection): void {
    this.#resume = undefined
    connection.spend()
    if (this.#controller === undefined) connection.end()
    else this.#controller.abort(this.#abortError)
  }

  /** Returns the connection in this step, before the end of the answer is passed on and the caller asks for another connection. */
  #release(outcome: Effect.Effect<void, Error>): void {
    const resume = this.#resume
    this.#resume = undefined
    this.#controller = undefined
    this.#shared.unread?.delete(this)
    resume?.(outcome)
  }

  /** The lease has ended. */
  #ended(exit: Exit.Exit<void, unknown>): void {
    if (Exit.isFailure(exit)) return this.#fail(this.#isAborted ? this.#abortError : this.#errorOf(exit.cause))
    if (!this.#isUnsent) return
    if (this.#isAborted) this.#fail(this.#abortError)
    else if (this.#attempts < mostAttempts) this.#borrow()
    else this.#fail(new RequestNotSent({ origin: this.#request.key }))
  }

  #errorOf(cause: Cause.Cause<unknown>): Error {
    if (Cause.hasInterruptsOnly(cause)) return this.#abortError
    const error = Cause.squash(cause)
    return error instanceof Error ? error : new Error("the request failed", { cause: error })
  }

  get #abortError(): Error {
    return this.#reason ??= this.#shared.aborted()
  }

  #fail(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#request.handler.onResponseError?.(this, error)
  }

  // ---- the controller, for the caller's handler

  get aborted(): boolean {
    return this.#isAborted
  }

  get reason(): Error | null {
    return this.#reason ?? null
  }

  get paused(): boolean {
    return this.#controller?.paused ?? false
  }

  abort(reason?: Error): void {
    if (this.#isOver || this.#isAborted) return
    this.#isAborted = true
    this.#reason = reason
    if (this.#controller !== undefined) this.#controller.abort(this.#abortError)
    // A request in undici's queue is aborted when it leaves the queue.
    else if (this.#resume === undefined) this.#fiber?.interruptUnsafe()
  }

  pause(): void {
    this.#controller?.pause()
  }

  resume(): void {
    this.#isRead ||= this.paused
    this.#controller?.resume()
  }

  // ---- the handler, for undici's client

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#isAborted) controller.abort(this.#abortError)
  }

  onResponseStarted(): void {
    this.#request.handler.onResponseStarted?.()
  }

  onBodySent(chunk: Buffer): void {
    this.#request.handler.onBodySent?.(chunk)
  }

  onRequestSent(): void {
    this.#request.handler.onRequestSent?.()
  }

  onResponseStart(controller: Controller, statusCode: number, headers: IncomingHttpHeaders, message?: string): void {
    this.rawHeaders = controller.rawHeaders ?? null
    if (statusCode >= 200) {
      if (isLastAnswer(headers)) this.#connection?.spend()
      this.#shared.unread?.add(this)
    }
    this.#request.handler.onResponseStart?.(this, statusCode, headers, message)
  }

  onResponseData(_: Controller, chunk: Buffer): void {
    this.#request.handler.onResponseData?.(this, chunk)
  }

  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void {
    this.rawTrailers = controller.rawTrailers ?? null
    this.#release(Effect.void)
    if (this.#isOver) return
    this.#isOver = true
    this.#request.handler.onResponseEnd?.(this, trailers)
  }

  onResponseError(_: Controller, error: Error): void {
    this.#isUnsent = error instanceof RequestNotSent
    // undici destroys the socket after this call, and takes no request within it.
    this.#connection?.spend()
    this.#release(this.#isUnsent ? Effect.void : Effect.fail(error))
  }

  /** The connection is the caller's until it is closed. */
  onRequestUpgrade(_: Controller, statusCode: number, headers: IncomingHttpHeaders, socket: Duplex): void {
    this.#connection?.spend()
    this.#isOver = true
    socket.once("close", () => this.#release(Effect.void))
    this.#request.handler.onRequestUpgrade?.(this, statusCode, headers, socket)
  }

  // ---- the pending body, for the limit on unread bodies

  hasEnded(): boolean {
    return this.#isOver
  }

  isAsked(): boolean | undefined {
    const { reader } = this.#request
    if (reader?.body !== undefined) return reader.body.readableFlowing !== null || reader.body.readableDidRead
    return this.#isRead ? true : this.paused ? false : undefined
  }

  giveUp(after: Duration.Duration): void {
    const { context, key } = this.#request
    this.#shared.reportUnread(key, after, context)
    this.abort(new UnreadBody({ origin: key, after }))
  }
}
