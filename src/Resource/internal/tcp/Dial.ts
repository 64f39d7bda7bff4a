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
import { combinedError } from "./CombinedError.ts"
import { reserveMoreIn } from "./DialReservation.ts"
import { HappyEyeballs } from "./HappyEyeballs.ts"
import type { DialedName, ResolvedNames } from "./ResolvedNames.ts"
import { awaitEvents, closeGracefully, ready, type TcpSocket, type UseSettings, watch } from "./Socket.ts"

/** The options of a dial, with their defaults applied. */
export interface DialSettings extends UseSettings {
  readonly connectTimeout: Duration.Duration
  /** `undefined`: the pool's, or the default. */
  readonly closeTimeout: Duration.Duration | undefined
  readonly noDelay: boolean
  readonly keepAlive: Duration.Duration | undefined
  readonly tls: Tls.ConnectionOptions | undefined
  readonly lookup: Net.LookupFunction | undefined
  /** `undefined`: connections stay in use when the addresses of their name change. */
  readonly names: ResolvedNames | undefined
}

/** A dial under way. */
interface Dial {
  readonly endpoint: Endpoint
  readonly settings: DialSettings
  readonly attempts: HappyEyeballs<TcpSocket>
  readonly name: DialedName | undefined
  phase: DialPhase
}

const timedOut = ({ attempts: { failures }, endpoint, phase, settings }: Dial): TcpConnectionError =>
  new TcpConnectionError({
    reason: new DialTimeout({
      endpoint,
      after: settings.connectTimeout,
      phase,
      cause: failures.length === 0 ? undefined : combinedError(failures)
    })
  })

/**
 * Loads Node's TLS when the first connection uses it, because loading it takes as long as loading all other modules of a pool.
 */
const loadTls = () => process.getBuiltinModule("node:tls")

/** A server name for TLS. RFC 6066 forbids a dot at its end, and IP addresses. */
const withoutDot = (name: string): string => name.replace(/\.$/, "")

/** Reads the TLS options, so that an invalid certificate fails before a socket is opened. */
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

/** Uses a connected socket as it is, or wraps it with TLS, which then owns it. */
const adopt = (dial: Dial, raw: Net.Socket, target: Target, tls: Tls.ConnectionOptions | undefined): TcpSocket => {
  const { attempts, name, settings } = dial
  name?.connected(target)
  const use = { settings, reclaim: () => attempts.reclaim(), isCurrent: () => name?.mayLease(target) ?? true }
  if (tls === undefined) return ready(watch(dial.endpoint, raw, use))
  dial.phase = "Handshake"
  // TLS also reports the errors of the raw socket, so they are ignored here.
  raw.on("error", () => {})
  const secure = loadTls().connect({ ...peerOf(dial.endpoint), ...tls, socket: raw })
  const socket = watch(dial.endpoint, secure, use)
  secure.once("secureConnect", () => void ready(socket))
  return socket
}

/** A dial that has opened nothing yet. */
const begin = (endpoint: Endpoint, settings: DialSettings): Effect.Effect<Dial, TcpConnectionError> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.try({
      try: () => {
        const tls = settings.tls && readTls(settings.tls)
        const attempts = new HappyEyeballs<TcpSocket>({
          connect: (target) => connectRaw(target, settings),
          adopt: (raw, target) => adopt(dial, raw, target, tls),
          claim: Context.get(context, CurrentReservation),
          reserveMore: reserveMoreIn(context, endpoint)
        })
        const name = settings.names?.use(endpoint, context)
        const dial: Dial = { endpoint, settings, attempts, name, phase: "LookUp" }
        return dial
      },
      catch: (cause) => dialFailed(endpoint, cause)
    })
  )

/** The socket if it is ready, or its failure; `undefined` while neither is known. */
const readiness = (dial: Dial, socket: TcpSocket): Effect.Effect<TcpSocket, TcpConnectionError> | undefined => {
  if (socket.connected) return Effect.succeed(socket)
  const error = socket.error ?? socket.raw.errored
  if (error !== null) return Effect.fail(dialFailed(dial.endpoint, error))
  return socket.raw.destroyed ? Effect.fail(dialFailed(dial.endpoint, combinedError([]))) : undefined
}

const connected = (dial: Dial): Effect.Effect<TcpSocket, TcpConnectionError> => {
  const { attempts, endpoint, settings } = dial
  return Effect.flatMap(targetsOf(endpoint, settings.lookup), (targets) => {
    dial.phase = "Connect"
    dial.name?.found(targets)
    return Effect.flatMap(attempts.run(targets), () => {
      const socket = attempts.winner
      return socket === undefined
        ? Effect.fail(dialFailed(endpoint, combinedError(attempts.failures)))
        : awaitEvents(socket, ["secureConnect", "error", "close"], () => readiness(dial, socket), false)
    })
  })
}

const close = ({ attempts, name, settings }: Dial): Effect.Effect<void> => {
  attempts.end()
  name?.release()
  const socket = attempts.winner
  return socket === undefined
    ? Effect.void
    : Effect.flatMap(CloseTimeout, (ambient) => closeGracefully(socket, settings.closeTimeout ?? ambient.closeTimeout))
}

/**
 * Dials, and closes the socket when the scope ends: gracefully if it was connected, at once if it was not. Its descriptor
 * is free when the finalizer has ended.
 *
 * The finalizer is added before anything is opened, and each socket is recorded in the step that opens it. So an interruption
 * leaves no socket open, and nothing is opened in a closed scope.
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
