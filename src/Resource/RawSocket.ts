/**
 * A dialled socket for a driver that reads and writes by itself. The dial is that of `TcpConnection`: the gate, the ledger, Happy
 * Eyeballs and one limit on the whole of it.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import { closeOnFailure } from "../internal/CloseOnFailure.ts"
import { CloseTimeout } from "../internal/CloseTimeout.ts"
import { DialSite, TrackedByPool } from "../internal/DialContext.ts"
import { labelOf } from "../internal/SafeText.ts"
import type { Endpoint } from "./Endpoint.ts"
import { type ReuseOptions, reuseSettingsOf } from "./internal/tcp/DialOptions.ts"
import { dialRecorded, dialReserved } from "./internal/tcp/RecordedDial.ts"
import { awaitDriver, unread } from "./internal/tcp/Socket.ts"
import type { TcpConnectionError } from "./TcpConnectionError.ts"

/**
 * A socket that its driver reads, writes and ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface RawSocket {
  readonly raw: Net.Socket
  /** Whether the peer has ended its side, or the socket is gone. */
  readonly isDead: () => boolean
  /** Whether it may be leased again, as far as the addresses of its endpoint's name are concerned. */
  readonly isCurrent: () => boolean
  /** Completes as soon as {@link RawSocket.isDead} is `true`. */
  readonly dead: Effect.Effect<void>
}

/**
 * Dials a socket. The end of the scope waits up to `closeTimeout` for the close that the driver has asked for by then, and destroys
 * the socket after that. What is never passed to a driver has to be destroyed by the caller, or that wait is for nothing.
 *
 * **Details**
 *
 * With `tls` the socket is a `TLSSocket` after its handshake. Without, the driver may begin TLS on it. `readTimeout` and
 * `allowExitOnIdle` have no effect, because the socket is not read here. It fails as `TcpConnection.connect` does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dial = (options: ReuseOptions = {}): (endpoint: Endpoint) => Effect.Effect<
  RawSocket,
  TcpConnectionError,
  Scope.Scope
> => {
  const settings = reuseSettingsOf(options)
  return (endpoint) =>
    closeOnFailure(Effect.gen(function*() {
      const asked = { label: labelOf(endpoint), site: yield* DialSite }
      const dialled = (yield* TrackedByPool)
        ? dialReserved(endpoint, settings)
        : dialRecorded(endpoint, settings, asked)
      const socket = yield* dialled
      // It runs before the finalizer of the dial, for which nothing is left to close then.
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(
          CloseTimeout,
          (ambient) => awaitDriver(socket, settings.closeTimeout ?? ambient.closeTimeout)
        )
      )
      unread(socket)
      return {
        raw: socket.raw,
        isDead: () => Deferred.isDoneUnsafe(socket.dead) || socket.raw.destroyed,
        isCurrent: socket.isCurrent,
        dead: Deferred.await(socket.dead)
      }
    }))
}
