/**
 * The limit on closing a connection that its pool sets.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"

/** Read when a connection closes, because the value may change during its life. */
export interface CloseTimeoutSource {
  readonly closeTimeout: Duration.Duration
}

/** The close timeout of a connector without its own. A pool provides its `closeTimeout` here, so that both are the same. */
export const CloseTimeout: Context.Reference<CloseTimeoutSource> = Context.Reference<CloseTimeoutSource>(
  "effect-sluice/internal/CloseTimeout",
  { defaultValue: () => ({ closeTimeout: Duration.seconds(2) }) }
)
