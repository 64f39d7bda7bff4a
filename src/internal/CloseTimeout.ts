/**
 * How long a connection may take to close, as its pool says.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"

/** Who says how long closing may take. It is asked when a connection closes, because it may say something else by then. */
export interface CloseTimeoutSource {
  readonly closeTimeout: Duration.Duration
}

/**
 * The close deadline of a connector that has none of its own. A pool provides its `closeTimeout`, so that the two agree.
 */
export const CloseTimeout: Context.Reference<CloseTimeoutSource> = Context.Reference<CloseTimeoutSource>(
  "effect-sluice/internal/CloseTimeout",
  { defaultValue: () => ({ closeTimeout: Duration.seconds(2) }) }
)
