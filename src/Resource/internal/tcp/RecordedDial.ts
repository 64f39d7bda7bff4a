/**
 * A dial with its reservation at the monitor's gate and its entry in the monitor's ledger.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { trackOpen } from "../../../internal/OpenTracker.ts"
import { ResourceMonitor } from "../../../Monitor/Service.ts"
import type { Endpoint } from "../../Endpoint.ts"
import type { TcpConnectionError } from "../../TcpConnectionError.ts"
import { dial, type DialSettings } from "./Dial.ts"
import { explainFailure, withReservation } from "./DialReservation.ts"
import type { OpenRequest } from "./GuardedConnection.ts"
import type { TcpSocket } from "./Socket.ts"

/** Records the connection in the monitor's ledger, if there is a monitor. */
const track = ({ label, site }: OpenRequest): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(
    Effect.serviceOption(ResourceMonitor),
    Option.match({
      onNone: () => Effect.void,
      onSome: (monitor) => monitor.track({ label, site: () => site?.text })
    })
  )

const connected = (endpoint: Endpoint, settings: DialSettings) =>
  Effect.catch(dial(endpoint, settings), (error) => explainFailure(endpoint, error))

/** Dials for an owner that records the connection by itself, as a pool does. */
export const dialReserved = (
  endpoint: Endpoint,
  settings: DialSettings
): Effect.Effect<TcpSocket, TcpConnectionError, Scope.Scope> => withReservation(endpoint, connected(endpoint, settings))

/** Dials, and records the connection until its scope has ended. */
export const dialRecorded = (
  endpoint: Endpoint,
  settings: DialSettings,
  asked: OpenRequest
): Effect.Effect<TcpSocket, TcpConnectionError, Scope.Scope> => {
  // The ledger entry comes first, so it is removed last: the connection counts until it is closed.
  const recorded = Effect.andThen(track(asked), trackOpen(asked))
  return withReservation(endpoint, Effect.andThen(recorded, connected(endpoint, settings)))
}
