/**
 * The state of one JSON-RPC connection, and the two fibers that serve it: one reads and settles, one writes.
 *
 * Nobody holds a lock over a request and its answer. A request puts its line into the outbox and waits for its own
 * `Deferred`; whoever gives up takes both out again, so nothing is remembered about a request that nobody waits for.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { Alarm } from "../internal/Timer.ts"
import * as Codec from "./JsonRpcCodec.ts"
import { ConnectionLost, JsonRpcError, LineTooLong, malformed, RemoteError, RequestTimeout } from "./JsonRpcError.ts"
import * as Inbox from "./JsonRpcInbox.ts"
import type { TcpConnection } from "./TcpConnection.ts"
import { ConnectionClosed, TcpConnectionError } from "./TcpConnectionError.ts"

/** What a session needs to know. */
export interface SessionSettings {
  readonly maxLineBytes: number
  readonly notificationBuffer: number
  /** Whether the server's `ping` is answered, as MCP demands. */
  readonly answersPing: boolean
}

/** A line that waits to be written, and who wants to know when it has been. */
interface Outgoing {
  readonly line: string
  readonly settle: (exit: Exit.Exit<void, JsonRpcError>) => void
}

interface Pending {
  readonly method: string
  readonly answer: Deferred.Deferred<unknown, JsonRpcError>
  readonly outgoing: Outgoing
  readonly timeout: Duration.Duration
  /** When the timeout is over, on the session's clock. */
  readonly due: number
}

/** One connection and everything that is under way on it. */
export interface Session {
  readonly connection: TcpConnection
  readonly settings: SessionSettings
  readonly lines: Codec.LineBuffer
  readonly pending: Map<number, Pending>
  readonly outbox: Set<Outgoing>
  /** Open while the outbox has something for the writer. */
  readonly work: Latch.Latch
  readonly inbox: Inbox.Inbox
  readonly dead: Deferred.Deferred<void>
  /**
   * One timer for all requests. `Effect.timeout` races two fibers per request, which was half of what a request costs.
   */
  readonly alarm: Alarm
  /** Milliseconds on a clock that never jumps. */
  readonly now: () => number
  /** Ids count upwards, so every smaller one was asked once: that is all we remember of past requests. */
  nextId: number
  bytesRead: number
  ended: TcpConnectionError | undefined
}

/** How many lines of the greatest length an inbox has room for. */
const keptLines = 4

const lost = (cause: TcpConnectionError, sent: boolean): JsonRpcError =>
  new JsonRpcError({ reason: new ConnectionLost({ cause, sent }) })

const closedCause = (session: Session): TcpConnectionError =>
  new TcpConnectionError({
    reason: new ConnectionClosed({ endpoint: session.connection.endpoint, bytesRead: session.bytesRead })
  })

const enqueue = (session: Session, outgoing: Outgoing): void => {
  session.outbox.add(outgoing)
  session.work.openUnsafe()
}

/** Puts a line into the outbox and waits until it is written. An interruption takes it out again. */
const send = (session: Session, line: string): Effect.Effect<void, JsonRpcError> =>
  Effect.suspend(() => {
    const done = Deferred.makeUnsafe<void, JsonRpcError>()
    const outgoing: Outgoing = { line, settle: (exit) => Deferred.doneUnsafe(done, exit) }
    const wait = Effect.suspend(() => {
      if (session.ended !== undefined) return Effect.fail(lost(session.ended, false))
      enqueue(session, outgoing)
      return Deferred.await(done)
    })
    return Effect.ensuring(wait, Effect.sync(() => session.outbox.delete(outgoing)))
  })

const settlePending = (session: Session, message: Codec.Answer | Codec.Refusal): Codec.Malformed | undefined => {
  const { id } = message
  if (typeof id !== "number" || !Number.isInteger(id) || id < 1 || id >= session.nextId) {
    return { _tag: "Malformed", rule: "answer a request that was asked" }
  }
  const pending = session.pending.get(id)
  // Whoever asked has given up meanwhile.
  if (pending === undefined) return undefined
  session.pending.delete(id)
  const exit = message._tag === "Answer"
    ? Exit.succeed(message.result)
    : Exit.fail(
      new JsonRpcError({
        reason: new RemoteError({
          method: pending.method,
          code: message.code,
          text: message.text,
          data: message.data
        })
      })
    )
  Deferred.doneUnsafe(pending.answer, exit)
  return undefined
}

const receive = (session: Session, { method, params }: Codec.Notification, line: string): void =>
  session.inbox.offer({ method, params }, Buffer.byteLength(line))

const replyTo = (session: Session, request: Codec.ServerRequest): string =>
  session.settings.answersPing && request.method === "ping"
    ? Codec.encodeEmptyAnswer(request)
    : Codec.encodeMethodNotFound(request)

/** Acts on the messages of one chunk and returns the replies that they want. */
const handle = (session: Session, chunk: Uint8Array): Effect.Effect<string, JsonRpcError> => {
  session.bytesRead += chunk.length
  const { lines, tooLong } = session.lines.push(chunk)
  let replies = ""
  for (const line of lines) {
    if (typeof line !== "string") return Effect.fail(new JsonRpcError({ reason: malformed(line, "be UTF-8") }))
    const message = Codec.decodeLine(line)
    let broken: Codec.Malformed | undefined
    if (message._tag === "Malformed") broken = message
    else if (message._tag === "Notification") receive(session, message, line)
    else if (message._tag === "ServerRequest") replies += replyTo(session, message)
    else broken = settlePending(session, message)
    if (broken !== undefined) return Effect.fail(new JsonRpcError({ reason: malformed(line, broken.rule) }))
  }
  return tooLong
    ? Effect.fail(new JsonRpcError({ reason: new LineTooLong({ limit: session.settings.maxLineBytes }) }))
    : Effect.succeed(replies)
}

const read = (session: Session): Effect.Effect<never, JsonRpcError> =>
  session.connection.read.pipe(
    Effect.mapError((cause) => lost(cause, true)),
    Effect.flatMap((chunk) => handle(session, chunk)),
    // While the replies are not written nothing more is read, so a peer that never reads them cannot make them pile up.
    Effect.flatMap((replies) => replies === "" ? Effect.void : send(session, replies)),
    Effect.forever({ disableYield: true })
  )

const written = (session: Session, exit: Exit.Exit<void, TcpConnectionError>): Exit.Exit<void, JsonRpcError> =>
  Exit.isSuccess(exit)
    ? Exit.void
    : Exit.fail(lost(Option.getOrElse(Exit.findErrorOption(exit), () => closedCause(session)), true))

/** Everything that waits when one write is done goes into the next: a busy connection needs few system calls. */
const writeAll = (session: Session): Effect.Effect<void> =>
  Effect.suspend(() => {
    session.work.closeUnsafe()
    const batch = Array.from(session.outbox)
    session.outbox.clear()
    return session.connection.write(batch.map((outgoing) => outgoing.line).join("")).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          const outcome = written(session, exit)
          for (const outgoing of batch) outgoing.settle(outcome)
        })
      ),
      // A connection that cannot be written to may still have answers to read; the reader sees its end.
      Effect.ignore
    )
  })

/** Fails everything that is under way. `error` is `undefined` when we ended the connection ourselves. */
const end = (session: Session, error: JsonRpcError | undefined): void => {
  const cause = error?.reason._tag === "ConnectionLost" ? error.reason.cause : closedCause(session)
  session.ended = cause
  const isProtocol = error !== undefined && error.reason._tag !== "ConnectionLost"
  const unsent = isProtocol ? error : lost(cause, false)
  for (const outgoing of session.outbox) outgoing.settle(Exit.fail(unsent))
  session.outbox.clear()
  for (const { answer } of session.pending.values()) Deferred.doneUnsafe(answer, Exit.fail(error ?? lost(cause, true)))
  session.pending.clear()
  session.alarm.stop()
  session.inbox.end(error)
  Deferred.doneUnsafe(session.dead, Exit.void)
}

/** What the reader's exit says about the connection. An interruption is our own scope that closes. */
const endingOf = (exit: Exit.Exit<never, JsonRpcError>): JsonRpcError | undefined =>
  Option.getOrUndefined(Exit.findErrorOption(exit))

const timedOut = (method: string, after: Duration.Duration, phase: "send" | "answer"): JsonRpcError =>
  new JsonRpcError({ reason: new RequestTimeout({ method, after, phase }) })

const forget = (session: Session, id: number): void => {
  const pending = session.pending.get(id)
  if (pending !== undefined) session.outbox.delete(pending.outgoing)
  session.pending.delete(id)
}

/** Fails the requests whose time is over, and returns when the next one's will be. */
const expire = (session: Session): number => {
  const now = session.now()
  let next = Infinity
  for (const [id, { answer, due, method, outgoing, timeout }] of session.pending) {
    if (due > now) {
      next = Math.min(next, due)
      continue
    }
    const phase = session.outbox.has(outgoing) ? "send" : "answer"
    forget(session, id)
    Deferred.doneUnsafe(answer, Exit.fail(timedOut(method, timeout, phase)))
  }
  return next
}

/** Sends a request and waits for its answer. */
export const request = (
  session: Session,
  method: string,
  params: object | undefined,
  timeout: Duration.Duration
): Effect.Effect<unknown, JsonRpcError> =>
  Effect.suspend(() => {
    const id = session.nextId++
    const wait = Effect.suspend(() => {
      if (session.ended !== undefined) return Effect.fail(lost(session.ended, false))
      const answer = Deferred.makeUnsafe<unknown, JsonRpcError>()
      const outgoing: Outgoing = {
        line: Codec.encodeRequest(id, method, params),
        settle: (exit) => {
          if (Exit.isFailure(exit)) Deferred.doneUnsafe(answer, exit)
        }
      }
      const due = session.now() + Duration.toMillis(timeout)
      session.pending.set(id, { method, answer, outgoing, timeout, due })
      session.alarm.at(due)
      enqueue(session, outgoing)
      return Deferred.await(answer)
    })
    // Whoever is interrupted, at whatever point, leaves nothing behind.
    return Effect.ensuring(wait, Effect.sync(() => forget(session, id)))
  })

/** Sends a notification and waits until it is written. */
export const notify = (
  session: Session,
  method: string,
  params: object | undefined,
  timeout: Duration.Duration
): Effect.Effect<void, JsonRpcError> =>
  Effect.suspend(() => send(session, Codec.encodeNotification(method, params))).pipe(
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(timedOut(method, timeout, "send")) })
  )

/**
 * Serves a connection until the scope closes or the connection ends; then everything that is under way fails.
 *
 * `connection` must live in `connectionScope`, which is closed when the reader ends: that is how a peer that breaks the
 * protocol loses its connection while the caller's scope lives on.
 */
export const serve = (
  connection: TcpConnection,
  connectionScope: Scope.Closeable,
  settings: SessionSettings
): Effect.Effect<Session, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const fork = Effect.runForkWith(yield* Effect.context())
    const session: Session = {
      connection,
      settings,
      lines: new Codec.LineBuffer(settings.maxLineBytes),
      pending: new Map(),
      outbox: new Set(),
      work: Latch.makeUnsafe(false),
      inbox: yield* Inbox.make({
        messages: settings.notificationBuffer,
        bytes: keptLines * settings.maxLineBytes
      }),
      dead: Deferred.makeUnsafe(),
      alarm: new Alarm({ clock, fork, now, onDue: () => expire(session) }),
      now,
      nextId: 1,
      bytesRead: 0,
      ended: undefined
    }
    const writing = Effect.forever(session.work.whenOpen(writeAll(session)), { disableYield: true })
    const reading = Effect.onExit(read(session), (exit) => {
      end(session, endingOf(exit))
      return Scope.close(connectionScope, Exit.void)
    })
    yield* Effect.forkScoped(writing, { startImmediately: true })
    yield* Effect.forkScoped(reading, { startImmediately: true })
    return session
  })
