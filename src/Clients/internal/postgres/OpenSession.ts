/**
 * Opens a session: the password, the socket, and the login of `PgConnection` on it.
 *
 * @since 0.1.0
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { Duplex } from "node:stream"
import { CurrentPermit } from "../../../Pool/ConnectionBudget.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import * as RawSocket from "../../../Resource/RawSocket.ts"
import type { TcpConnectionError } from "../../../Resource/TcpConnection.ts"
import { withToken } from "../ApplicationName.ts"
import { CancelSockets } from "./CancelSockets.ts"
import { type Options, requireUsername, type Settings } from "./Options.ts"
import { limited, Session, type SessionState } from "./Session.ts"

/** A password that is an Effect is evaluated for each session, before its socket is opened. */
const passwordOf = ({ password }: Options): Effect.Effect<Redacted.Redacted | undefined> =>
  Effect.isEffect(password) ? password : Effect.succeed(password)

const stateOf = ({ connectionTTL, evictOn, reset }: Settings, socket: RawSocket.RawSocket, cancels: CancelSockets) => {
  const state: SessionState = {
    rules: { evictOn, reset, isSingleUse: Duration.isZero(connectionTTL) },
    isDead: socket.isDead,
    isCurrent: socket.isCurrent,
    dead: socket.dead,
    destroy: () => socket.raw.destroy(),
    isBusy: false,
    inTransaction: false,
    isCancelled: false,
    isEnding: false,
    isClosing: false,
    isUseless: false,
    drained: () => cancels.drained(),
    reserve: Effect.void,
    recalled: Effect.never,
    invalidate: Effect.void
  }
  return state
}

/** Returns the socket of the session at the first call, and the socket of a CancelRequest at each further call. */
const streamOf = (socket: RawSocket.RawSocket, cancels: CancelSockets, state: SessionState) => {
  let isTaken = false
  return {
    isTaken: () => isTaken,
    next: (): Duplex => {
      if (isTaken) {
        state.isCancelled = true
        state.isEnding = true
        if (state.isBusy) cancels.limit()
        // Without a connection the server has no request, and gets one when the session is closed.
        return cancels.connect().once("error", () => {
          state.isEnding = false
        })
      }
      isTaken = true
      return socket.raw
    }
  }
}

/** The parameters of the session. The address in them is only used as the name of the server in TLS. */
const configOf = (
  { connectTimeout, options, startupParameters, url }: Settings,
  endpoint: Endpoint,
  password: Redacted.Redacted | undefined,
  token: string | undefined
): PgConnection.Config => ({
  ...options,
  ...(token !== undefined && {
    applicationName: withToken(
      options.applicationName ?? startupParameters["application_name"] ?? url.applicationName,
      token
    )
  }),
  ...(endpoint._tag === "TcpEndpoint" ? { host: endpoint.host, port: endpoint.port } : {}),
  password,
  connectTimeout,
  keepAlive: undefined,
  startupParameters
})

/**
 * Opens sessions.
 *
 * At the end of the scope, a CancelRequest is sent for a statement that is under way and was not cancelled yet, and the session is ended
 * without waiting for the statement. After that the finalizer waits until both sockets are closed.
 */
export const openWith = (settings: Settings) => {
  const { connectTimeout, keepAlive, options } = settings
  const { closeTimeout, lookup, refreshAddresses } = options
  const dial = RawSocket.dial({ connectTimeout, keepAlive, closeTimeout, lookup, refreshAddresses })
  return (endpoint: Endpoint): Effect.Effect<Session, SqlError | TcpConnectionError, Scope.Scope> =>
    Effect.gen(function*() {
      requireUsername(settings)
      const password = yield* passwordOf(options)
      const permit = yield* CurrentPermit
      const socket = yield* dial(endpoint)
      const fork = Effect.runForkWith(yield* Effect.context<never>())
      const cancels = new CancelSockets(endpoint, socket, fork)
      const state = stateOf(settings, socket, cancels)
      const stream = streamOf(socket, cancels, state)
      yield* Effect.addFinalizer(() => {
        if (!stream.isTaken()) socket.raw.destroy()
        return cancels.end
      })
      const base = yield* PgConnection.make({
        ...configOf(settings, endpoint, password, permit?.token),
        stream: stream.next
      })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (state.isBusy && !state.isEnding && !state.isDead()) fork(base.interrupt)
          state.isClosing = true
        })
      )
      return new Session(base, state)
    })
}

/** Checks an idle session. If the server does not answer, the session is ended. */
export const checkWith = ({ connectTimeout }: Settings) => ({ base, state }: Session): Effect.Effect<void, SqlError> =>
  limited(Effect.asVoid(base.query("SELECT 1", [], false)), connectTimeout, state)
