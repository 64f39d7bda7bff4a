/**
 * `sluice fleet`: the budget of connections that processes share in Redis, and what an operator does with it.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import { InvalidOption } from "../../internal/InvalidOption.ts"
import { errorText, safeLabel } from "../../internal/SafeText.ts"
import { layerUnlimited } from "../../Monitor/ResourceMonitor.ts"
import { flag } from "../Flags.ts"
import { printJson, write } from "../Output.ts"
import * as View from "./View.ts"

const config = {
  key: Argument.String("key").pipe(Argument.withDescription("The key of the budget, as in the options of RedisBudget")),
  action: Argument.Literals("action", ["set", "reap"]).pipe(
    Argument.withDescription("set a limit for all processes, or reap permits whose lease is over"),
    Argument.optional
  ),
  limit: Argument.String("limit").pipe(
    Argument.withDescription("With set: a whole number of at least 0, or none for the option of each process"),
    Argument.optional
  ),
  url: Flag.Redacted("url").pipe(
    Flag.withMetavar("url"),
    Flag.withDescription("The address of Redis (default: REDIS_URL, or else redis://127.0.0.1:6379)"),
    Flag.optional
  ),
  json: flag("json", "Print the budget, or the answer, as one line of JSON")
}

interface Input {
  readonly key: string
  readonly action: Option.Option<"set" | "reap">
  readonly limit: Option.Option<string>
  readonly url: Option.Option<Redacted.Redacted>
  readonly json: boolean
}

/** The store does not answer, has no such budget, or holds something else under its keys. */
class FleetFailed extends Data.TaggedError("FleetFailed")<{ readonly key: string; readonly detail: string }> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
  override get message(): string {
    return `sluice fleet: ${safeLabel(this.key)}: ${this.detail}`
  }
}

const refuse = (userMessage: string): Effect.Effect<never, CliError.ShowHelp> =>
  Effect.fail(
    new CliError.ShowHelp({
      commandPath: ["sluice", "fleet"],
      errors: [new CliError.UserError({ cause: userMessage, userMessage })]
    })
  )

/** The highest limit that a budget accepts. */
const mostConnections = 1_000_000

type Request =
  | { readonly _tag: "Show" }
  | { readonly _tag: "Reap" }
  | { readonly _tag: "Set"; readonly limit: number | undefined }

const requestOf = ({ action, limit }: Input): Effect.Effect<Request, CliError.ShowHelp> => {
  const given = Option.getOrUndefined(limit)
  if (Option.isNone(action)) return Effect.succeed({ _tag: "Show" })
  if (action.value === "reap") {
    return given === undefined ? Effect.succeed({ _tag: "Reap" }) : refuse("reap takes no limit")
  }
  if (given === "none") return Effect.succeed({ _tag: "Set", limit: undefined })
  if (given === undefined || !/^\d{1,7}$/.test(given) || Number(given) > mostConnections) {
    return refuse(`set needs a limit: a whole number from 0 to ${mostConnections}, or none`)
  }
  return Effect.succeed({ _tag: "Set", limit: Number(given) })
}

/** The address of the flag, or else of the environment. */
const urlOf = ({ url }: Input): Effect.Effect<Redacted.Redacted> =>
  Config.Redacted("REDIS_URL").pipe(
    Effect.option,
    Effect.map((fromEnvironment) =>
      Option.getOrElse(Option.orElse(url, () => fromEnvironment), () => Redacted.make("redis://127.0.0.1:6379"))
    )
  )

/** The answer, as JSON and as lines. */
interface Answer {
  readonly json: object
  readonly lines: ReadonlyArray<string>
}

/** Refuses a key or an address that no budget can have. The text is without the value, because an address may have a password. */
const refuseOption = (defect: unknown): Effect.Effect<never, CliError.ShowHelp> =>
  defect instanceof InvalidOption ? refuse(`${defect.option} must ${defect.rule}`) : Effect.die(defect)

const answerOf = (key: string, request: Request, url: Redacted.Redacted) =>
  Effect.gen(function*() {
    // Only this command loads the client of Redis.
    const RedisBudget = yield* Effect.promise(() => import("../../Clients/RedisBudget.ts"))
    const budget = yield* Effect.catchDefect(
      RedisBudget.make({ url, key, connections: 1, storeTimeout: "5 seconds" }),
      refuseOption
    )
    switch (request._tag) {
      case "Set": {
        yield* budget.setLimit(request.limit)
        const said = request.limit === undefined ? "the option `connections` of each process" : String(request.limit)
        const line = `${safeLabel(key)}: the limit is ${said}. Permits that are held are kept`
        return { json: { limit: request.limit ?? null }, lines: [line] } satisfies Answer
      }
      case "Reap": {
        const reaped = yield* budget.reap
        return { json: { reaped }, lines: [`${safeLabel(key)}: ${reaped} whose lease was over`] } satisfies Answer
      }
      case "Show": {
        const found = yield* budget.inspect
        if (!found.isLimitSet && found.held === 0 && found.waiting === 0) {
          return yield* new FleetFailed({
            key,
            detail: "nothing is known of this budget: no permit, no waiter, no limit"
          })
        }
        // What the snapshot has without a limit at the store is the option of this command.
        const limit = found.isLimitSet ? found.limit : null
        return { json: { ...found, limit }, lines: View.linesOf(key, found) } satisfies Answer
      }
    }
  }).pipe(
    Effect.catchTag("BudgetError", (error) => Effect.fail(new FleetFailed({ key, detail: errorText(error) }))),
    Effect.scoped,
    Effect.provide(layerUnlimited)
  )

/**
 * The command. It prints who holds permits of a budget and who waits, sets the limit of all processes, or ends permits whose lease is over.
 * The exit status is 0 after success, 1 if the store does not answer or has no such budget, and 2 after an invalid call.
 *
 * @category commands
 * @since 0.1.0
 */
export const fleet = Command.make("fleet", config, (input: Input) =>
  Effect.gen(function*() {
    const request = yield* requestOf(input)
    const { json, lines } = yield* answerOf(input.key, request, yield* urlOf(input)).pipe(
      Effect.tapErrorTag(
        "FleetFailed",
        ({ detail, key }) => input.json ? printJson({ key, error: detail }) : Effect.void
      )
    )
    yield* input.json ? printJson(json) : write(process.stdout, `${lines.join("\n")}\n`)
  })).pipe(
    Command.withDescription("Show who holds the shared budget of connections and who waits, set its limit, or reap"),
    Command.withExamples([
      { command: "sluice fleet orders", description: "Who holds what, since when, and who waits?" },
      { command: "sluice fleet orders set 40", description: "At most 40 connections of all processes from now on" },
      { command: "sluice fleet orders reap", description: "End the permits whose lease is over" }
    ])
  )
