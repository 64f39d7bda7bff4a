/**
 * The limits of a watched process: from flags, or else from the variables that a monitor reads.
 *
 * @since 0.1.0
 */
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { rulesOf } from "../../Monitor/levels/Levels.ts"
import { defaults } from "../../Monitor/Options.ts"
import { count, fraction, type Rule, variable } from "../../Settings/internal/Variable.ts"
import type { Limits } from "./Trend.ts"

/** A number from a flag, or else from the environment. */
interface Source {
  readonly name: string
  readonly metavar: string
  readonly variable: string
  readonly rule: Rule
  readonly byDefault: number
}

const threshold = (name: string, variable: string, byDefault: number): Source => ({
  name,
  variable,
  byDefault,
  metavar: "share",
  rule: fraction
})

const limit = (name: string, variable: string, metavar = "n"): Source => ({
  name,
  variable,
  byDefault: Infinity,
  metavar,
  rule: count
})

const sources = {
  warning: threshold("warning-threshold", "FD_WARNING_THRESHOLD", defaults.warningThreshold),
  error: threshold("error-threshold", "FD_ERROR_THRESHOLD", defaults.errorThreshold),
  descriptors: limit("max-descriptors", "MAX_FILE_DESCRIPTORS"),
  memory: limit("max-memory", "MAX_MEMORY_MB", "MiB"),
  connections: limit("max-connections", "MAX_TCP_CONNECTIONS")
}

const flagOf = ({ byDefault, metavar, name, rule, variable }: Source, description: string) =>
  Flag.Finite(name).pipe(
    Flag.filter(rule.holds, () => rule.text),
    Flag.withMetavar(metavar),
    Flag.withDescription(`${description} (default: ${variable}, else ${byDefault === Infinity ? "none" : byDefault})`),
    Flag.optional
  )

/** The flags. */
export const flags = {
  warning: flagOf(sources.warning, "Where Warning begins, as a share of a limit"),
  error: flagOf(sources.error, "Where Critical begins, as a share of a limit"),
  descriptors: flagOf(sources.descriptors, "Descriptors to stay under, besides its own limit"),
  memory: flagOf(sources.memory, "Resident memory to stay under, besides its container's limit"),
  connections: flagOf(sources.connections, "TCP connections to stay under")
}

/** The values of the flags. */
export type Given = Readonly<Record<keyof typeof flags, Option.Option<number>>>

/** Fails with an invalid call. */
export const refuse = (userMessage: string): Effect.Effect<never, CliError.ShowHelp> =>
  Effect.fail(
    new CliError.ShowHelp({
      commandPath: ["sluice", "watch"],
      errors: [new CliError.UserError({ cause: userMessage, userMessage })]
    })
  )

const read = (source: Source, flag: Option.Option<number>): Effect.Effect<number, CliError.ShowHelp> =>
  Option.isSome(flag)
    ? Effect.succeed(flag.value)
    : variable(source.variable, source.byDefault, source.rule).pipe(
      Effect.map(({ value }) => value),
      Effect.catch((error) => refuse(error.cause.message))
    )

const mebibyte = 1024 * 1024

/** The limits, and when levels change. Fails with the flag or the variable that is invalid. */
export const limitsOf = (given: Given): Effect.Effect<Limits, CliError.ShowHelp> =>
  Effect.gen(function*() {
    const warningThreshold = yield* read(sources.warning, given.warning)
    const errorThreshold = yield* read(sources.error, given.error)
    if (warningThreshold > errorThreshold) {
      const rule = `be at most the error threshold, which is ${errorThreshold}`
      return yield* refuse(`the warning threshold is ${warningThreshold}, but it must ${rule}`)
    }
    return {
      maxDescriptors: yield* read(sources.descriptors, given.descriptors),
      maxMemory: mebibyte * (yield* read(sources.memory, given.memory)),
      maxConnections: yield* read(sources.connections, given.connections),
      rules: rulesOf({ ...defaults, warningThreshold, errorThreshold })
    }
  })
