/**
 * Closes one connection, and does not let a finalizer that never ends cost a slot.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as References from "effect/References"
import { CloseTimeout } from "../internal/CloseTimeout.ts"
import type { PooledConnection } from "./PoolState.ts"

/** A connector keeps the deadline itself; this is what it may take longer for the last steps. */
const grace = Duration.millis(500)

const report = (label: string, after: Duration.Duration): Effect.Effect<void> =>
  Effect.gen(function*() {
    const level = yield* References.UnhandledLogLevel
    if (level === undefined) return
    yield* Effect.logWithLevel(level)(
      `ConnectionPool: closing a connection to ${label} has not ended within ${
        Duration.format(after)
      }. Its slot is free ` +
        "again, but its socket may still be open: the connector's finalizer hangs."
    )
  })

/**
 * Gives the connection back to Effect's `Pool`, which closes it. A finalizer that does not end within `closeTimeout` and
 * a moment is left behind, reported, and its slot is freed by `abandon`.
 */
export const closeConnection = <K, A>(options: {
  readonly connection: PooledConnection<K, A>
  readonly closeTimeout: Duration.Duration
  readonly abandon: () => void
}): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { abandon, closeTimeout, connection } = options
    const patience = Duration.sum(closeTimeout, grace)
    const closing = yield* connection.dispose.pipe(
      Effect.provideService(CloseTimeout, closeTimeout),
      Effect.uninterruptible,
      Effect.forkDetach({ startImmediately: true })
    )
    const ended = yield* Effect.timeoutOption(Fiber.await(closing), patience)
    if (Option.isSome(ended)) return
    abandon()
    yield* report(connection.owner.label, patience)
  })
