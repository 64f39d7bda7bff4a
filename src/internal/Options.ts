/**
 * Checks of options, with the same messages for all modules.
 *
 * The checks throw `InvalidOption`, because options are written in the program itself, and functions that take them are often
 * no Effects.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { InvalidOption } from "./InvalidOption.ts"

/** Checks the options of one module. */
export interface OptionCheck {
  /** Throws unless `valid`. `rule` completes the sentence "it must ...", and is a function if building the text is expensive. */
  readonly require: (valid: boolean, option: string, value: unknown, rule: string | (() => string)) => void
  /** A whole number of at least `min` and at most `max`; `Infinity` only if it is allowed. */
  readonly whole: (option: string, value: number, range: WholeRange) => number
  /** A duration, decoded, that is finite unless allowed otherwise and at least (or above) `min` milliseconds. */
  readonly duration: (option: string, value: unknown, range: DurationRange) => Duration.Duration
  /** As `duration`, in milliseconds. */
  readonly millis: (option: string, value: unknown, range: DurationRange) => number
  /** A secret, if there is one. A caller without types may give a plain text, which the error does not show. */
  readonly redacted: (option: string, value: unknown) => void
}

/** The valid range of a whole number. */
export interface WholeRange {
  readonly min: number
  /** No limit without it. */
  readonly max?: number
  /** `Infinity` is a value. */
  readonly infinite?: boolean
}

/** The ports of TCP that can be connected to. */
export const ports: WholeRange = { min: 1, max: 65_535 }

/** The valid range of a duration, in milliseconds. */
export interface DurationRange {
  readonly min: number
  /** The minimum itself is refused. */
  readonly exclusive?: boolean
  /** `Infinity` is a value. */
  readonly infinite?: boolean
}

/** Any finite duration but zero. */
export const aboveZero: DurationRange = { min: 0, exclusive: true }

const wholeRule = ({ infinite, max, min }: WholeRange): string =>
  `be a whole number ${max === undefined ? `of at least ${min}` : `from ${min} to ${max}`}` +
  (infinite === true ? ", or Infinity" : "")

const durationRule = (range: DurationRange): string =>
  `be a ${range.infinite === true ? "" : "finite "}duration ${range.exclusive === true ? "above" : "of at least"} ` +
  Duration.format(Duration.millis(range.min))

/** Added to the rule for a text that is not a duration, such as "60s". */
const durationForm = (value: unknown): string => typeof value === "string" ? `, such as "60 seconds"` : ""

const decode = (value: unknown): Duration.Duration | undefined =>
  // By its type, `fromInput` accepts only well-formed inputs, and this checks whether the value is one. It would convert NaN to
  // zero.
  Number.isNaN(value) ? undefined : Option.getOrUndefined(Duration.fromInput(value as Duration.Input))

const within = (millis: number, range: DurationRange): boolean =>
  (range.exclusive === true ? millis > range.min : millis >= range.min) &&
  (Number.isFinite(millis) || range.infinite === true)

/** The checks of the module with this name. */
export const checkOptions = (module: string): OptionCheck => {
  const require: OptionCheck["require"] = (valid, option, value, rule) => {
    if (!valid) throw new InvalidOption({ module, option, value, rule: typeof rule === "string" ? rule : rule() })
  }
  const duration: OptionCheck["duration"] = (option, value, range) => {
    const duration = decode(value)
    if (duration === undefined) {
      throw new InvalidOption({ module, option, value, rule: durationRule(range) + durationForm(value) })
    }
    require(within(Duration.toMillis(duration), range), option, value, () => durationRule(range))
    return duration
  }
  return {
    require,
    whole: (option, value, range) => {
      const { infinite = false, max = Infinity, min } = range
      const valid = (Number.isSafeInteger(value) || (infinite && value === Infinity)) && value >= min && value <= max
      require(valid, option, value, wholeRule(range))
      return value
    },
    duration,
    millis: (option, value, range) => Duration.toMillis(duration(option, value, range)),
    redacted: (option, value) =>
      require(
        value === undefined || Redacted.isRedacted(value),
        option,
        Redacted.make(value),
        "be a Redacted, such as Redacted.make(text)"
      )
  }
}

/** Runs a check as an effect, which fails with the `InvalidOption` that the check throws: the options come from outside of the program. */
export const refusing = <A>(check: () => A): Effect.Effect<A, InvalidOption> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(check())
    } catch (error) {
      return error instanceof InvalidOption ? Effect.fail(error) : Effect.die(error)
    }
  })
