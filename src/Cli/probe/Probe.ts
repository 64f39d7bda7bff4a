/**
 * Probes a server: connects, sends, reads, closes, and returns the result of each step.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { showBytes } from "../../internal/Printable.ts"
import { version } from "../../internal/version.ts"
import type { Endpoint } from "../../Resource/Endpoint.ts"
import * as JsonRpcClient from "../../Resource/JsonRpcClient.ts"
import * as TcpConnection from "../../Resource/TcpConnection.ts"

/** What to probe, and how. */
export interface Settings {
  readonly endpoint: Endpoint
  /** Bound on each step: connecting, sending, the answer. */
  readonly timeout: Duration.Duration
  readonly count: number
  readonly send: Uint8Array | undefined
  readonly expect: Uint8Array | undefined
  readonly mcp: boolean
  readonly tls: boolean
}

/** The result of one connection. */
export interface Attempt {
  /** Dial, TLS and MCP handshake together. */
  readonly connect: Duration.Duration
  /** From the first byte sent to the answer; `undefined` if no answer was expected, or none came. */
  readonly answer: Duration.Duration | undefined
  /** The first bytes that were received. */
  readonly reply: Uint8Array
  readonly server: JsonRpcClient.McpServer | undefined
  readonly ending: TcpConnection.Ending
}

/**
 * The probe failed. The message names the step and the reason in one line.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProbeFailed extends Data.TaggedError("ProbeFailed")<{ readonly detail: string }> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
  override get message(): string {
    return `sluice probe: ${this.detail}`
  }
}

const failed = (detail: string): ProbeFailed => new ProbeFailed({ detail })

/** How long to wait for an answer when `expect` is not set. */
const briefly = Duration.seconds(1)

/** How long to wait for the peer to end its side. */
const closeTimeout = Duration.seconds(2)

/** How much of an answer is quoted. */
const quotedBytes = 200

/**
 * The received bytes: their number, their start for the report, and as many at the end as are needed to find the expected
 * bytes.
 */
interface Received {
  total: number
  start: Buffer
  end: Buffer
}

/** Adds the next bytes, and returns whether the expected ones have come. */
const take = (received: Received, chunk: Uint8Array, expect: Uint8Array | undefined): boolean => {
  received.total += chunk.length
  const room = quotedBytes - received.start.length
  if (room > 0) received.start = Buffer.concat([received.start, chunk.subarray(0, room)])
  if (expect === undefined) return true
  const bytes = Buffer.concat([received.end, chunk])
  received.end = expect.length > 1 ? bytes.subarray(1 - expect.length) : Buffer.alloc(0)
  return bytes.indexOf(expect) >= 0
}

const quote = (received: Received): string =>
  received.total === 0
    ? "received nothing"
    : `received ${received.total} bytes: ${showBytes(received.start)}${received.total > quotedBytes ? "..." : ""}`

const readUntilMatch = (
  connection: TcpConnection.TcpConnection,
  received: Received,
  expect: Uint8Array | undefined
): Effect.Effect<void, TcpConnection.TcpConnectionError> =>
  connection.read.pipe(
    Effect.map((chunk) => take(received, chunk, expect)),
    Effect.repeat({ until: (matched) => matched }),
    Effect.asVoid
  )

/**
 * The read side: waits for the expected bytes, or for a short time for any bytes if none are expected. Returns whether they
 * came.
 */
const listen = (
  connection: TcpConnection.TcpConnection,
  received: Received,
  { endpoint, expect, send, timeout }: Settings
): Effect.Effect<boolean, ProbeFailed> => {
  if (expect === undefined && send === undefined) return Effect.succeed(false)
  const reading = Effect.as(readUntilMatch(connection, received, expect), true)
  if (expect === undefined) {
    // A missing answer is a failure only if one is expected.
    return reading.pipe(
      Effect.timeoutOption(Duration.min(timeout, briefly)),
      Effect.map(Option.isSome),
      Effect.orElseSucceed(() => false)
    )
  }
  return reading.pipe(
    Effect.mapError((error) => failed(`no matching answer: ${error.message}; ${quote(received)}`)),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () =>
        Effect.fail(
          failed(`${endpoint}: no matching answer within ${Duration.format(timeout)}; ${quote(received)}`)
        )
    })
  )
}

/** The write side. */
const speak = (
  connection: TcpConnection.TcpConnection,
  { endpoint, send, timeout }: Settings
): Effect.Effect<void, ProbeFailed> =>
  send === undefined
    ? Effect.void
    : connection.write(send).pipe(
      Effect.mapError((error) => failed(error.message)),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () =>
          Effect.fail(failed(`${endpoint}: could not send ${send.length} bytes within ${Duration.format(timeout)}`))
      })
    )

type Talk = Omit<Attempt, "ending"> & { readonly closed: Effect.Effect<TcpConnection.Ending> }

const talk = (settings: Settings): Effect.Effect<Talk, ProbeFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const options = { connectTimeout: settings.timeout, closeTimeout, tls: settings.tls }
    const [connect, connection] = yield* TcpConnection.connect(settings.endpoint, options).pipe(
      Effect.mapError((error) => failed(error.message)),
      Effect.timed
    )
    const received: Received = { total: 0, start: Buffer.alloc(0), end: Buffer.alloc(0) }
    // One fiber reads and one writes, as in a program with real traffic.
    const [elapsed, [answered]] = yield* Effect.all(
      [listen(connection, received, settings), speak(connection, settings)],
      { concurrency: 2 }
    ).pipe(Effect.timed)
    return {
      connect,
      answer: answered ? elapsed : undefined,
      reply: received.start,
      server: undefined,
      closed: connection.closed
    }
  })

const talkMcp = (settings: Settings): Effect.Effect<Talk, ProbeFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const [connect, client] = yield* JsonRpcClient.connect(settings.endpoint, {
      connectTimeout: settings.timeout,
      requestTimeout: settings.timeout,
      closeTimeout,
      tls: settings.tls,
      mcp: { clientName: "sluice", clientVersion: version }
    }).pipe(
      Effect.mapError((error) =>
        failed(error._tag === "JsonRpcError" ? `${settings.endpoint}: ${error.message}` : error.message)
      ),
      Effect.timed
    )
    const [answer] = yield* client.request("ping").pipe(
      Effect.mapError((error) => failed(`${settings.endpoint}: ${error.message}`)),
      Effect.timed
    )
    return { connect, answer, reply: new Uint8Array(0), server: client.server, closed: client.closed }
  })

/** Opens and closes one connection. */
const attempt = (settings: Settings): Effect.Effect<Attempt, ProbeFailed> =>
  Effect.gen(function*() {
    const { closed, ...talked } = yield* Effect.scoped(settings.mcp ? talkMcp(settings) : talk(settings))
    const ending = yield* closed
    if (ending.how === "Reset") {
      return yield* failed(
        `${settings.endpoint} broke the connection: ${ending.code}, ${ending.bytesRead} bytes received`
      )
    }
    return { ...talked, ending }
  })

/** Makes the attempts one after the other, each with a new connection. The first failure ends the probe. */
export const run = (settings: Settings): Effect.Effect<ReadonlyArray<Attempt>, ProbeFailed> =>
  Effect.forEach(Array.from({ length: settings.count }), (_, index) =>
    settings.count === 1
      ? attempt(settings)
      : Effect.mapError(
        attempt(settings),
        (error) => failed(`attempt ${index + 1} of ${settings.count}: ${error.detail}`)
      ))
