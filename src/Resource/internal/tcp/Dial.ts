/**
 * Opens a connection: looks the name up, connects to one of its addresses, and does the TLS handshake, all within one limit.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import type * as Tls from "node:tls"
import { CloseTimeout } from "../../../internal/CloseTimeout.ts"
import { timeoutOrElse } from "../../../internal/Timeout.ts"
import { CurrentReservation } from "../../../Monitor/Service.ts"
import type { Endpoint } from "../../Endpoint.ts"
import { dialFailed, type DialPhase, DialTimeout, TcpConnectionError } from "../../TcpConnectionError.ts"
import { type Target, targetsOf } from "./AddressLookup.ts"
import { causeOf } from "./CombinedError.ts"
import { moreRoomIn } from "./DialReservation.ts"
import { Attempts } from "./HappyEyeballs.ts"
import { closeGracefully, ready, type TcpSocket, type UseSettings, watch } from "./Socket.ts"

/** What a dial needs to know, all of it decided. */
export interface DialSettings extends UseSettings {
  readonly connectTimeout: Duration.Duration
  /** `undefined`: what the pool says, or the default. */
  readonly closeTimeout: Duration.Duration | undefined
  readonly noDelay: boolean
  readonly keepAlive: Duration.Duration | undefined
  readonly tls: Tls.ConnectionOptions | undefined
  readonly lookup: Net.LookupFunction | undefined
}

/** A dial that is under way, and what it has come to. */
interface Dial {
  readonly endpoint: Endpoint
  readonly settings: DialSettings
  readonly attempts: Attempts<TcpSocket>
  phase: DialPhase
}

const timedOut = ({ attempts: { failures }, endpoint, phase, settings }: Dial): TcpConnectionError =>
  new TcpConnectionError({
    reason: new DialTimeout({
      endpoint,
      after: settings.connectTimeout,
      phase,
      cause: failures.length === 0 ? undefined : causeOf(failures)
    })
  })

/** Node's TLS is loaded with the first connection that uses it: that takes as long as all the rest of a pool's bundle. */
const loadTls = () => process.getBuiltinModule("node:tls")

/** A server name has no dot at its end, and an IP address is none: RFC 6066 forbids both in the TLS extension. */
const withoutDot = (name: string): string => name.replace(/\.$/, "")

/** The settings of TLS, read: a certificate that makes no sense is met before anything is opened. */
const readTls = (tls: Tls.ConnectionOptions): Tls.ConnectionOptions => ({
  ...tls,
  ...(tls.servername === undefined ? {} : { servername: withoutDot(tls.servername) }),
  secureContext: tls.secureContext ?? loadTls().createSecureContext(tls)
})

const peerOf = (endpoint: Endpoint): Tls.ConnectionOptions => {
  if (endpoint._tag === "UnixEndpoint") return {}
  const host = withoutDot(endpoint.host)
  return Net.isIP(host) === 0 ? { host, servername: host } : { host }
}

const connectRaw = (target: Target, { keepAlive, noDelay }: DialSettings): Net.Socket =>
  Net.createConnection({
    ...target,
    noDelay,
    keepAlive: keepAlive !== undefined,
    keepAliveInitialDelay: keepAlive === undefined ? 0 : Duration.toMillis(keepAlive)
  })

/** Takes over a connected socket: as it is, or as what TLS runs over, which from then on owns it. */
const adopt = (dial: Dial, raw: Net.Socket, tls: Tls.ConnectionOptions | undefined): TcpSocket => {
  const use = { settings: dial.settings, reclaim: () => dial.attempts.reclaim() }
  if (tls === undefined) return ready(watch(dial.endpoint, raw, use))
  dial.phase = "Handshake"
  // What breaks the connection is an error of TLS' as well.
  raw.on("error", () => {})
  const secure = loadTls().connect({ ...peerOf(dial.endpoint), ...tls, socket: raw })
  const socket = watch(dial.endpoint, secure, use)
  secure.once("secureConnect", () => void ready(socket))
  return socket
}

/** A dial of which nothing is open yet. */
const begin = (endpoint: Endpoint, settings: DialSettings): Effect.Effect<Dial, TcpConnectionError> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.try({
      try: () => {
        const tls = settings.tls && readTls(settings.tls)
        const attempts = new Attempts<TcpSocket>({
          connect: (target) => connectRaw(target, settings),
          adopt: (raw) => adopt(dial, raw, tls),
          claim: Context.get(context, CurrentReservation),
          moreRoom: moreRoomIn(context, endpoint)
        })
        const dial: Dial = { endpoint, settings, attempts, phase: "LookUp" }
        return dial
      },
      catch: (cause) => dialFailed(endpoint, cause)
    })
  )

/** What has become of a socket that is to be ready, if that is known by now. */
const readiness = (dial: Dial, socket: TcpSocket): Effect.Effect<TcpSocket, TcpConnectionError> | undefined => {
  if (socket.connected) return Effect.succeed(socket)
  const error = socket.error ?? socket.raw.errored
  if (error !== null) return Effect.fail(dialFailed(dial.endpoint, error))
  return socket.raw.destroyed ? Effect.fail(dialFailed(dial.endpoint, causeOf([]))) : undefined
}

const untilReady = (dial: Dial, socket: TcpSocket): Effect.Effect<TcpSocket, TcpConnectionError> =>
  Effect.callback((resume) => {
    const atOnce = readiness(dial, socket)
    if (atOnce !== undefined) return resume(atOnce)
    const events = ["secureConnect", "error", "close"]
    const look = () => {
      const found = readiness(dial, socket)
      if (found === undefined) return
      stopListening()
      resume(found)
    }
    const stopListening = () => {
      for (const event of events) socket.raw.off(event, look)
    }
    for (const event of events) socket.raw.on(event, look)
    return Effect.sync(stopListening)
  })

const connected = (dial: Dial): Effect.Effect<TcpSocket, TcpConnectionError> => {
  const { attempts, endpoint, settings } = dial
  return Effect.flatMap(targetsOf(endpoint, settings.lookup), (targets) => {
    dial.phase = "Connect"
    return Effect.flatMap(attempts.run(targets), () =>
      attempts.winner === undefined
        ? Effect.fail(dialFailed(endpoint, causeOf(attempts.failures)))
        : untilReady(dial, attempts.winner))
  })
}

const close = ({ attempts, settings }: Dial): Effect.Effect<void> => {
  attempts.end()
  const socket = attempts.winner
  return socket === undefined
    ? Effect.void
    : Effect.flatMap(CloseTimeout, (ambient) => closeGracefully(socket, settings.closeTimeout ?? ambient.closeTimeout))
}

/**
 * Dials, and closes the socket when the scope ends: gracefully if it was connected, at once if it was not. Its descriptor
 * is free when the finalizer has ended.
 *
 * The finalizer is installed before anything is opened, and what is opened is noted in the same step, so there is no moment
 * at which an interruption can lose a socket. In a scope that has ended already nothing is opened.
 */
export const dial = (
  endpoint: Endpoint,
  settings: DialSettings
): Effect.Effect<TcpSocket, TcpConnectionError, Scope.Scope> =>
  Effect.flatMap(Effect.acquireRelease(begin(endpoint, settings), close), (dial) =>
    timeoutOrElse(connected(dial), {
      duration: settings.connectTimeout,
      orElse: () => Effect.fail(timedOut(dial))
    }))
