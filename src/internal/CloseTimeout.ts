/**
 * How long a connection may take to close, as its pool says.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"

/**
 * The close deadline of a connector that has none of its own. A pool provides its `closeTimeout`, so that the two agree.
 */
export const CloseTimeout: Context.Reference<Duration.Duration> = Context.Reference<Duration.Duration>(
  "effect-sluice/internal/CloseTimeout",
  { defaultValue: () => Duration.seconds(2) }
)
