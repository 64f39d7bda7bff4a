/**
 * The state of one JSON-RPC connection, and the two fibers that serve it: one reads messages and completes requests, the other
 * one writes.
 *
 * A request adds its line to the outbox and waits for its own `Deferred`, so that many requests can wait at the same time. A
 * request that is abandoned removes both, so that no state is left.
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
import { monotonicMillis } from "../../../internal/MonotonicTime.ts"
import { timeoutOrElse } from "../../../internal/Timeout.ts"
import { Alarm } from "../../../internal/Timer.ts"
import {
  ConnectionLost,
  JsonRpcError,
  LineTooLong,
  malformed,
  RemoteError,
  RequestTimeout,
  UnattributedError
} from "../../JsonRpcError.ts"
import type { TcpConnection } from "../../TcpConnection.ts"
import { ConnectionClosed, TcpConnectionError } from "../../TcpConnectionError.ts"
import * as Codec from "./Codec.ts"
import { LineBuffer } from "./LineBuffer.ts"
import * as Inbox from "./NotificationInbox.ts"
import { type ProgressToken, tokenOf, withToken } from "./ProgressToken.ts"
import { SilenceDetector } from "./SilenceDetector.ts"

/** The options of a session. */
export interface SessionSettings {
  readonly maxLineBytes: number
  readonly notificationBuffer: number
  /** Whether both sides speak MCP: pings, cancellation and progress. */
  readonly isMcp: boolean
}

/** How long a request may take. */
export interface TimeLimits {
  readonly timeout: Duration.Duration
  /** The most time in total, if progress restarts the timeout; `undefined` if it does not. */
  readonly maxTimeout: Duration.Duration | undefined
}

/** A line that waits to be written. `settle` is called when it was written, or with the failure. */
interface Outgoing {
  readonly line: string
  readonly settle: (exit: Exit.Exit<void, JsonRpcError>) => void
}

interface Pending {
  readonly method: string
  readonly answer: Deferred.Deferred<unknown, JsonRpcError>
  readonly outgoing: Outgoing
  readonly limits: TimeLimits
  /** The result of {@link SilenceDetector.asked}. */
  readonly mark: number
  readonly token: ProgressToken | undefined
  /** When it was sent, on the session's clock. */
  readonly since: number
  /** When it times out, on the session's clock. Progress extends it. */
  due: number
}

/** One connection and its pending requests and lines. */
export interface Session {
  readonly connection: TcpConnection
  readonly settings: SessionSettings
  readonly lines: LineBuffer
  readonly pending: Map<number, Pending>
  /** The requests whose timeout restarts with progress, by their tokens. */
  readonly extensible: Map<ProgressToken, Pending>
  readonly silence: SilenceDetector
  readonly outbox: Set<Outgoing>
  /** Open while the outbox is not empty. */
  readonly work: Latch.Latch
  readonly inbox: Inbox.Inbox
  readonly dead: Deferred.Deferred<void>
  /**
   * One timer for all requests. `Effect.timeout` would start two fibers for each request, which was half of a request's cost.
   */
  readonly alarm: Alarm
  /** Milliseconds of the monotonic clock. */
  readonly now: () => number
  /** Ids count upwards, so every smaller id was used, and past requests need not be stored. */
  nextId: number
  bytesRead: number
  ended: TcpConnectionError | undefined
}

/** How many lines of the maximum length fit into an inbox. */
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

/** Puts a line into the outbox and waits until it is written. An interruption removes it. */
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

/** Queues a line without waiting for the write. */
const post = (session: Session, line: string): void => enqueue(session, { line, settle: () => undefined })

const exitOf = ({ method }: Pending, message: Codec.Answer | Codec.Refusal): Exit.Exit<unknown, JsonRpcError> => {
  if (message._tag === "Answer") return Exit.succeed(message.result)
  const { code, data, text } = message
  return Exit.fail(new JsonRpcError({ reason: new RemoteError({ method, code, text, data }) }))
}

const remove = (session: Session, id: number, pending: Pending): void => {
  session.pending.delete(id)
  if (session.pending.size === 0) session.alarm.hold(false)
  if (pending.token !== undefined && session.extensible.get(pending.token) === pending) {
    session.extensible.delete(pending.token)
  }
}

const settlePending = (session: Session, message: Codec.Answer | Codec.Refusal): Codec.Malformed | undefined => {
  const pending = session.pending.get(message.id)
  if (message.id >= session.nextId || (pending !== undefined && session.outbox.has(pending.outgoing))) {
    return Codec.malformed("answer a request that was asked")
  }
  if (pending === undefined) {
    session.silence.answeredLate()
    return undefined
  }
  remove(session, message.id, pending)
  session.silence.answered(session.now() - pending.since)
  Deferred.doneUnsafe(pending.answer, exitOf(pending, message))
  return undefined
}

/** The request to which a progress report belongs. Some servers return a number as a string, as they do with ids. */
const progressing = ({ extensible }: Session, { method, params }: Codec.Notification): Pending | undefined => {
  const token = extensible.size === 0 ? undefined : tokenOf(method, params)
  return token === undefined ? undefined : extensible.get(token) ?? extensible.get(Codec.requestId(token) ?? token)
}

/** Restarts the timeout of a request that has made progress, up to its maximum in total. */
const extend = (session: Session, notification: Codec.Notification): void => {
  const pending = progressing(session, notification)
  if (pending === undefined || pending.limits.maxTimeout === undefined) return
  const { limits: { maxTimeout, timeout }, since } = pending
  const extended = Math.min(session.now() + Duration.toMillis(timeout), since + Duration.toMillis(maxTimeout))
  // The alarm stays set to the earlier deadline, and is set to this one when it fires.
  pending.due = Math.max(pending.due, extended)
}

const receive = (session: Session, notification: Codec.Notification, line: string): undefined => {
  extend(session, notification)
  session.inbox.offer(line)
}

const replyTo = (session: Session, request: Codec.ServerRequest): string =>
  session.settings.isMcp && request.method === "ping"
    ? Codec.encodeEmptyAnswer(request)
    : Codec.encodeMethodNotFound(request)

const failed = (reason: JsonRpcError["reason"]): Effect.Effect<never, JsonRpcError> =>
  Effect.fail(new JsonRpcError({ reason }))

/** Handles a message: returns the reply, or the reason for which the connection ends. */
const act = (session: Session, message: Codec.Incoming, line: string): string | JsonRpcError["reason"] | undefined => {
  switch (message._tag) {
    case "Notification":
      return receive(session, message, line)
    case "ServerRequest":
      return replyTo(session, message)
    case "UnattributedRefusal":
      return new UnattributedError({ code: message.code, text: message.text, data: message.data })
    case "Malformed":
      return malformed(line, message.rule)
    case "Answer":
    case "Refusal": {
      const broken = settlePending(session, message)
      return broken === undefined ? undefined : malformed(line, broken.rule)
    }
  }
}

/** Handles the messages of one chunk and returns their replies. */
const handle = (session: Session, chunk: Uint8Array): Effect.Effect<string, JsonRpcError> => {
  session.bytesRead += chunk.length
  const { lines, tooLong } = session.lines.push(chunk)
  let replies = ""
  for (const line of lines) {
    if (typeof line !== "string") return failed(malformed(line, "be UTF-8"))
    const outcome = act(session, Codec.decodeLine(line), line)
    if (typeof outcome === "string") replies += outcome
    else if (outcome !== undefined) return failed(outcome)
  }
  return tooLong ? failed(new LineTooLong({ limit: session.settings.maxLineBytes })) : Effect.succeed(replies)
}

/** Handles the end of the connection. A last line without a newline counts if it is a message; otherwise it was cut off. */
const handleEnd = (session: Session, cause: TcpConnectionError): Effect.Effect<never, JsonRpcError> => {
  const line = cause.reason._tag === "ConnectionClosed" ? session.lines.rest() : ""
  const message = typeof line === "string" && line !== "" ? Codec.decodeLine(line) : undefined
  if (typeof line !== "string" || message === undefined || message._tag === "Malformed") {
    return Effect.fail(lost(cause, true))
  }
  const outcome = act(session, message, line)
  return outcome === undefined || typeof outcome === "string" ? Effect.fail(lost(cause, true)) : failed(outcome)
}

const read = (session: Session): Effect.Effect<never, JsonRpcError> =>
  session.connection.readInBackground.pipe(
    Effect.matchEffect({
      onFailure: (cause) => handleEnd(session, cause),
      onSuccess: (chunk) => handle(session, chunk)
    }),
    // Reading continues only after the replies are written. So replies do not accumulate for a peer that does not read.
    Effect.flatMap((replies) => replies === "" ? Effect.void : send(session, replies)),
    Effect.forever({ disableYield: true })
  )

const written = (session: Session, exit: Exit.Exit<void, TcpConnectionError>): Exit.Exit<void, JsonRpcError> =>
  Exit.isSuccess(exit)
    ? Exit.void
    : Exit.fail(lost(Option.getOrElse(Exit.findErrorOption(exit), () => closedCause(session)), true))

/** Writes everything in the outbox at once, so that a busy connection needs few system calls. */
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
      // After a failed write there may still be answers to read, so only the reader ends the session.
      Effect.ignore
    )
  })

/** Fails all pending requests and lines. `error` is `undefined` if the scope of this side has closed the connection. */
const end = (session: Session, error: JsonRpcError | undefined): void => {
  const cause = error?.reason._tag === "ConnectionLost" ? error.reason.cause : closedCause(session)
  session.ended = cause
  const isProtocol = error !== undefined && error.reason._tag !== "ConnectionLost"
  const unsent = isProtocol ? error : lost(cause, false)
  for (const outgoing of session.outbox) outgoing.settle(Exit.fail(unsent))
  session.outbox.clear()
  for (const { answer } of session.pending.values()) Deferred.doneUnsafe(answer, Exit.fail(error ?? lost(cause, true)))
  session.pending.clear()
  session.extensible.clear()
  session.alarm.stop()
  session.inbox.end(error)
  Deferred.doneUnsafe(session.dead, Exit.void)
}

/**
 * The error with which the connection ended; `undefined` after an interruption, which means that the scope of this side closes.
 */
const endingOf = (exit: Exit.Exit<never, JsonRpcError>): JsonRpcError | undefined =>
  Option.getOrUndefined(Exit.findErrorOption(exit))

const timedOut = (method: string, after: Duration.Duration, phase: "send" | "answer"): JsonRpcError =>
  new JsonRpcError({ reason: new RequestTimeout({ method, after, phase }) })

/** Removes an abandoned request, and sends a cancellation to an MCP server; returns whether it was sent. */
const drop = (session: Session, id: number, pending: Pending, reason: string): boolean => {
  remove(session, id, pending)
  if (session.outbox.delete(pending.outgoing)) return false
  session.silence.owe()
  // MCP forbids to cancel `initialize`.
  if (session.settings.isMcp && pending.method !== "initialize") post(session, Codec.encodeCancelled(id, reason))
  return true
}

/** The timeout of a request, including its extension by progress. */
const allowed = ({ due, limits: { timeout }, since }: Pending): Duration.Duration =>
  Duration.max(timeout, Duration.millis(Math.round(due - since)))

const expireOne = (session: Session, id: number, pending: Pending): void => {
  const phase = drop(session, id, pending, "the request timed out") ? "answer" : "send"
  session.silence.timedOut(pending.mark)
  Deferred.doneUnsafe(pending.answer, Exit.fail(timedOut(pending.method, allowed(pending), phase)))
}

/** Pings a silent peer. Any answer shows that the peer is alive, so nothing waits for this one. */
const probe = (session: Session): void => {
  session.silence.probed()
  post(session, Codec.encodeRequest(session.nextId++, "ping", undefined))
}

/** Fails the requests that have timed out, and returns the next deadline. */
const expire = (session: Session): number => {
  const now = session.now()
  let next = Infinity
  for (const [id, pending] of session.pending) {
    if (pending.due > now) next = Math.min(next, pending.due)
    else expireOne(session, id, pending)
  }
  if (session.silence.probeAt <= now) probe(session)
  return Math.min(next, session.silence.probeAt)
}

/** Called when the fiber of a request ends. If the request is still pending, it was interrupted. */
const abandon = (session: Session, id: number): void => {
  const pending = session.pending.get(id)
  if (pending === undefined) return
  drop(session, id, pending, "the caller gave up")
  session.silence.interrupted(pending.mark, session.now(), Duration.toMillis(pending.limits.timeout))
}

/**
 * Whether a silent peer is pinged while this request waits. `ping` is itself a ping, and before the answer to `initialize` none
 * may be sent.
 */
const isProbed = (method: string): boolean => method !== "ping" && method !== "initialize"

const enter = (
  session: Session,
  id: number,
  method: string,
  params: object | undefined,
  limits: TimeLimits
): Pending => {
  const answer = Deferred.makeUnsafe<unknown, JsonRpcError>()
  const tagged = limits.maxTimeout !== undefined && session.settings.isMcp ? withToken(params, id) : undefined
  const outgoing: Outgoing = {
    line: Codec.encodeRequest(id, method, tagged?.params ?? params),
    settle: (exit) => {
      if (Exit.isFailure(exit)) Deferred.doneUnsafe(answer, exit)
    }
  }
  const since = session.now()
  const timeout = Duration.toMillis(limits.timeout)
  const mark = session.silence.asked(since, timeout, isProbed(method))
  const pending = { method, answer, outgoing, limits, mark, token: tagged?.token, since, due: since + timeout }
  session.pending.set(id, pending)
  // Only a pending request keeps the process alive, not the reader.
  session.alarm.hold(true)
  if (pending.token !== undefined) session.extensible.set(pending.token, pending)
  session.alarm.at(Math.min(pending.due, session.silence.probeAt))
  enqueue(session, outgoing)
  return pending
}

/** Sends a request and waits for its answer. */
export const request = (
  session: Session,
  method: string,
  params: object | undefined,
  limits: TimeLimits
): Effect.Effect<unknown, JsonRpcError> =>
  Effect.suspend(() => {
    const id = session.nextId++
    const wait = Effect.suspend(() =>
      session.ended === undefined
        ? Deferred.await(enter(session, id, method, params, limits).answer)
        : Effect.fail(lost(session.ended, false))
    )
    // An interruption at any point leaves no state.
    return Effect.ensuring(wait, Effect.sync(() => abandon(session, id)))
  })

/** Whether a pool may lease the connection again. */
export const isReusable = ({ ended, silence }: Session): boolean => ended === undefined && !silence.isSilent

/** Sends a notification and waits until it is written. */
export const notify = (
  session: Session,
  method: string,
  params: object | undefined,
  timeout: Duration.Duration
): Effect.Effect<void, JsonRpcError> =>
  timeoutOrElse(Effect.suspend(() => send(session, Codec.encodeNotification(method, params))), {
    duration: timeout,
    orElse: () => Effect.fail(timedOut(method, timeout, "send"))
  })

/**
 * Closes the connection. If the peer is silent or has broken the protocol, its end is not awaited, because it may never come.
 */
const close = (session: Session, error: JsonRpcError | undefined, scope: Scope.Closeable): Effect.Effect<void> => {
  const isBroken = error !== undefined && error.reason._tag !== "ConnectionLost"
  const end = Scope.close(scope, Exit.void)
  return isBroken || session.silence.isSilent ? Effect.andThen(session.connection.abort, end) : end
}

/**
 * Serves a connection until the scope closes or the connection ends; then all pending requests fail.
 *
 * `connection` must have been acquired in `connectionScope`, which is closed when the reader ends. So if a peer breaks the
 * protocol, its connection is closed while the caller's scope stays open.
 */
export const serve = (
  connection: TcpConnection,
  connectionScope: Scope.Closeable,
  settings: SessionSettings
): Effect.Effect<Session, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = () => monotonicMillis(clock)
    const fork = Effect.runForkWith(yield* Effect.context())
    const session: Session = {
      connection,
      settings,
      lines: new LineBuffer(settings.maxLineBytes),
      pending: new Map(),
      extensible: new Map(),
      silence: new SilenceDetector(settings.isMcp),
      outbox: new Set(),
      work: Latch.makeUnsafe(false),
      inbox: yield* Inbox.make({
        messages: settings.notificationBuffer,
        length: keptLines * settings.maxLineBytes
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
      const error = endingOf(exit)
      end(session, error)
      return close(session, error, connectionScope)
    })
    yield* Effect.forkScoped(writing, { startImmediately: true })
    yield* Effect.forkScoped(reading, { startImmediately: true })
    return session
  })
