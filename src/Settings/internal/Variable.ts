/**
 * Reads a number from a variable of the environment, and checks it.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Option from "effect/Option"
import { configError } from "../../internal/ConfigFailure.ts"

/** A variable with its value, set or default. */
export interface Variable<A> {
  readonly name: string
  /** The value as messages show it. */
  readonly shown: string
  readonly value: A
  /** Whether the variable is not set. */
  readonly isDefault: boolean
}

/** The valid values of a number. */
export interface Rule {
  readonly holds: (value: number) => boolean
  /** Completes the sentence "it must be ...". */
  readonly text: string
}

/** The error of a variable whose value breaks a rule, which completes the sentence "it must ...". */
export const invalid = (variable: Pick<Variable<unknown>, "name" | "shown">, rule: string): Config.ConfigError =>
  configError(`${variable.name} is ${variable.shown}, but it must ${rule}`)

export const whole = (min: number, max: number): Rule => ({
  holds: (value) => Number.isInteger(value) && value >= min && value <= max,
  text: `a whole number from ${min} to ${max}`
})

/** A count without a limit of its own. The maximum finds typing errors. */
export const count = whole(1, 1_000_000_000)

export const fraction: Rule = { holds: (value) => value > 0 && value <= 1, text: "a number above 0 and at most 1" }

// Strict, because `Number` reads "" as 0, "0x10" as 16 and "1e3" as 1000, which are mistakes in a variable.
const decimal = /^-?\d+(\.\d+)?$/

const parse = (text: string): number => decimal.test(text) ? Number(text) : Number.NaN

/** The variable with this name. A variable that is not set has the default; one that breaks the rule is an error. */
export const variable = (name: string, byDefault: number, rule: Rule): Config.Config<Variable<number>> =>
  pipe(
    Config.option(Config.String(name)),
    Config.mapEffect((given) => {
      if (Option.isNone(given)) {
        return Effect.succeed({ name, shown: `${byDefault} (the default)`, value: byDefault, isDefault: true })
      }
      const value = parse(given.value.trim())
      const read = { name, shown: JSON.stringify(given.value), value, isDefault: false }
      return rule.holds(value) ? Effect.succeed(read) : Effect.fail(invalid(read, `be ${rule.text}`))
    })
  )
