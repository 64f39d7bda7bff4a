/**
 * The descriptor that the event loop keeps for itself.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Endpoint from "../Resource/Endpoint.ts"
import * as TcpConnection from "../Resource/TcpConnection.ts"

/**
 * With its first socket libuv opens a spare descriptor and keeps it for good, so that it can still refuse a connection when
 * no other is left. A dial that cannot leave this machine makes it do so before descriptors are counted; otherwise the
 * spare one would look like a leak.
 */
export const openSpare: Effect.Effect<void> = Effect.scoped(
  Effect.ignore(TcpConnection.connect(Endpoint.unix("/dev/null/none")))
)
