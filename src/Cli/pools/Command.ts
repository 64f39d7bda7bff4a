/**
 * `sluice pools`: the pools of a running program, and what an operator does with them.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Prompt from "effect/cli/Prompt"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import { safeLabel } from "../../internal/SafeText.ts"
import { flag } from "../Flags.ts"
import { printJson, write } from "../Output.ts"
import * as Client from "./Client.ts"
import { styledOf, textOf } from "./Line.ts"
import { type Action, parseTarget, type Request } from "./Target.ts"
import * as View from "./View.ts"

/** The address of the program. */
export const target = Argument.String("url").pipe(
  Argument.withDescription("The status page of the program: host:port or a URL"),
  Argument.mapTryCatch(parseTarget, (error) => error instanceof Error ? error.message : String(error))
)

/** What authorizes requests. */
export const token = Flag.Redacted("token").pipe(
  Flag.withMetavar("token"),
  Flag.withDescription("The token of the program (default: SLUICE_TOKEN, which other processes do not see)"),
  Flag.optional
)

/** What may be done with a pool. */
export const actions = ["evict", "suspend", "resume", "drain"] as const satisfies ReadonlyArray<Action>

const config = {
  target,
  action: Argument.Literals("action", actions).pipe(
    Argument.withDescription("What to do with a pool: evict, suspend, resume or drain"),
    Argument.optional
  ),
  pool: Argument.String("name").pipe(Argument.withDescription("The name of the pool"), Argument.optional),
  endpoint: Flag.String("endpoint").pipe(
    Flag.withMetavar("endpoint"),
    Flag.withDescription("With evict: evict the connections of this endpoint alone"),
    Flag.optional
  ),
  token,
  yes: flag("yes", "With drain: do not ask. A drained pool ends, and cannot be opened again"),
  json: flag("json", "Print the snapshot, or the answer, as one line of JSON")
}

interface Input {
  readonly target: URL
  readonly action: Option.Option<Action>
  readonly pool: Option.Option<string>
  readonly endpoint: Option.Option<string>
  readonly token: Option.Option<Redacted.Redacted>
  readonly yes: boolean
  readonly json: boolean
}

const refuse = (userMessage: string): Effect.Effect<never, CliError.ShowHelp> =>
  Effect.fail(
    new CliError.ShowHelp({
      commandPath: ["sluice", "pools"],
      errors: [new CliError.UserError({ cause: userMessage, userMessage })]
    })
  )

/** The token of the flag, or else of the environment. An empty one counts as none. */
export const tokenOf = (given: Option.Option<Redacted.Redacted>): Effect.Effect<Redacted.Redacted | undefined> =>
  Config.Redacted("SLUICE_TOKEN").pipe(
    Effect.option,
    Effect.map((fromEnvironment) =>
      Option.getOrUndefined(
        Option.filter(Option.orElse(given, () => fromEnvironment), (one) => Redacted.value(one) !== "")
      )
    )
  )

/** What is asked for; `undefined`: a look. */
const requestOf = ({ action, endpoint, pool, yes }: Input): Effect.Effect<Request | undefined, CliError.ShowHelp> => {
  const given = { endpoint: Option.getOrUndefined(endpoint), pool: Option.getOrUndefined(pool) }
  if (Option.isNone(action)) {
    const isBare = given.endpoint === undefined && !yes
    return isBare ? Effect.undefined : refuse("--endpoint and --yes belong to an action")
  }
  if (given.pool === undefined || given.pool === "") return refuse(`${action.value} needs the name of a pool`)
  if (given.endpoint !== undefined && action.value !== "evict") return refuse("--endpoint belongs to evict")
  if (yes && action.value !== "drain") return refuse("--yes belongs to drain")
  return Effect.succeed({ action: action.value, pool: given.pool, endpoint: given.endpoint })
}

/** The operator has not confirmed what cannot be undone. */
class NotConfirmed extends Data.TaggedError("NotConfirmed")<{ readonly pool: string }> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
  override get message(): string {
    return `sluice pools: pool ${safeLabel(this.pool)} is not drained`
  }
}

const canAsk = Effect.sync(() => process.stdin.isTTY && process.stdout.isTTY)

/** Asks before a drain: it ends the pool of a running program. */
const confirm = ({ action, pool }: Request, yes: boolean) =>
  Effect.gen(function*() {
    if (action !== "drain" || yes) return
    if (!(yield* canAsk)) return yield* refuse("a drained pool cannot be opened again: confirm it with --yes")
    const message = `Drain pool ${safeLabel(pool)}? It ends, and cannot be opened again.`
    // Ctrl-C at the question ends the command as a signal does.
    const isSure = yield* Effect.catch(Prompt.run(Prompt.Confirm({ message })), () => Effect.interrupt)
    if (!isSure) return yield* new NotConfirmed({ pool })
  })

const done: Readonly<Record<Action, string>> = {
  evict: "its connections are closed as soon as no borrower has them",
  suspend: "it leases nothing until it is resumed",
  resume: "it leases connections again",
  drain: "it is drained, and ends"
}

const doneText = ({ action, endpoint, pool }: Request): string =>
  `pool ${safeLabel(pool)}${endpoint === undefined ? "" : `, endpoint ${safeLabel(endpoint)}`}: ${done[action]}\n`

const ask = (program: Client.Program, request: Request, { json, yes }: Input) =>
  Effect.gen(function*() {
    if (program.token === undefined) {
      return yield* refuse(`${request.action} needs the token of the program: --token or SLUICE_TOKEN`)
    }
    yield* confirm(request, yes)
    const answer = yield* Client.control(program, request)
    yield* json ? printJson({ answer }) : write(process.stdout, doneText(request))
  })

const show = (program: Client.Program, { json }: Input) =>
  Effect.gen(function*() {
    const { sent, snapshot } = yield* Client.takeSnapshot(program)
    // A snapshot is an object, or it could not have been decoded.
    if (json) return yield* printJson(Object(sent))
    const lines = View.linesOf(program.target.href, snapshot)
    // `hasColors` respects NO_COLOR.
    const isColoured = process.stdout.isTTY && process.stdout.hasColors()
    yield* write(process.stdout, `${lines.map(isColoured ? styledOf : textOf).join("\n")}\n`)
  })

/**
 * The command. It prints what the status page of a program shows, or asks the program to do something with a pool. The exit status is 0
 * after success, 1 if the program does not answer or refuses, 2 after an invalid call, 130 after SIGINT and 143 after SIGTERM.
 *
 * @category commands
 * @since 0.1.0
 */
export const pools = Command.make("pools", config, (input) =>
  Effect.gen(function*() {
    const request = yield* requestOf(input)
    const program: Client.Program = { command: "pools", target: input.target, token: yield* tokenOf(input.token) }
    const run = request === undefined ? show(program, input) : ask(program, request, input)
    yield* Effect.tapErrorTag(run, "RequestFailed", ({ detail, target }) =>
      input.json ? printJson({ target, error: detail }) : Effect.void)
  }).pipe(Effect.provide(Client.layer))).pipe(
    Command.withDescription("Show the pools of a running program, or evict, suspend, resume or drain one"),
    Command.withExamples([
      { command: "sluice pools localhost:9464", description: "What is down, who holds what, and since when?" },
      { command: "sluice pools localhost:9464 --json", description: "The same as one line of JSON" },
      {
        command: "SLUICE_TOKEN=... sluice pools localhost:9464 evict orders --endpoint db:5432",
        description: "Replace the connections to one server"
      }
    ])
  )
