/**
 * A measured time in a text. `Duration.format` gives "0" for no time, and nanoseconds for a part of a millisecond.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/** A time in whole milliseconds, such as `1s 20ms`, or `less than 1ms`. */
export const measured = (time: Duration.Duration): string => {
  const millis = Duration.toMillis(time)
  return millis < 1 ? "less than 1ms" : Duration.format(Duration.millis(Math.round(millis)))
}

/** A time in whole seconds, such as `1m 2s`, or `less than 1s`. */
export const measuredSeconds = (time: Duration.Duration): string => {
  const seconds = Duration.toSeconds(time)
  return seconds < 1 ? "less than 1s" : Duration.format(Duration.seconds(Math.round(seconds)))
}
