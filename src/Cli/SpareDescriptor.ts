/**
 * The spare descriptor of the event loop.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Endpoint from "../Resource/Endpoint.ts"
import * as TcpConnection from "../Resource/TcpConnection.ts"

/**
 * With the first socket of a process, libuv opens a spare descriptor and never closes it; it needs this to refuse a connection
 * at the descriptor limit. A count of descriptors before and after a dial would take it for a leak. So this dial, which fails
 * locally, makes libuv open it before the first count.
 */
export const openSpare: Effect.Effect<void> = Effect.scoped(
  Effect.ignore(TcpConnection.connect(Endpoint.unix("/dev/null/none")))
)
