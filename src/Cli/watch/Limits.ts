/**
 * The limits of a watched process: from flags, or else from the variables that a monitor reads.
 *
 * @since 0.1.0
 */
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { rulesOf } from "../../Monitor/levels/Levels.ts"
import { defaults } from "../../Monitor/Options.ts"
import type { Limits } from "./Trend.ts"

/** The range of a number. */
interface Rule {
  readonly holds: (n: number) => boolean
  readonly text: string
}

const most = 1_000_000_000

const count: Rule = {
  holds: (n) => Number.isInteger(n) && n >= 1 && n <= most,
  text: `a whole number from 1 to ${most}`
}

const share: Rule = { holds: (n) => n > 0 && n <= 1, text: "a number above 0 and at most 1" }

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
  metavar: "share",
  variable,
  rule: share,
  byDefault
})

const limit = (name: string, variable: string, metavar = "n"): Source => ({
  name,
  metavar,
  variable,
  rule: count,
  byDefault: Infinity
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

// As strict as the monitor: `Number` reads "" as 0 and "0x10" as 16.
const decimal = /^-?\d+(\.\d+)?$/

const numberOf = (text: string): number => decimal.test(text) ? Number(text) : Number.NaN

const misfit = ({ rule, variable }: Source, text: string): string =>
  `${variable} is ${JSON.stringify(text)}, but it must be ${rule.text}`

const read = (source: Source, flag: Option.Option<number>): Effect.Effect<number, CliError.ShowHelp> =>
  Effect.gen(function*() {
    if (Option.isSome(flag)) return flag.value
    const text = (yield* Effect.orElseSucceed(Config.String(source.variable), () => "")).trim()
    if (text === "") return source.byDefault
    const value = numberOf(text)
    return source.rule.holds(value) ? value : yield* refuse(misfit(source, text))
  })

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
