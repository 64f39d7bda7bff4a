/**
 * The spare descriptor of the event loop.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Endpoint from "../Resource/Endpoint.ts"
import * as TcpConnection from "../Resource/TcpConnection.ts"

/**
 * With its first socket, libuv opens a spare descriptor and never closes it, so that it can refuse a connection at the
 * descriptor limit. A dial that fails locally makes libuv open it before descriptors are counted; otherwise it would look
 * like a leak.
 */
export const openSpare: Effect.Effect<void> = Effect.scoped(
  Effect.ignore(TcpConnection.connect(Endpoint.unix("/dev/null/none")))
)
