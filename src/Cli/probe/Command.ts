/**
 * `sluice probe`: does this server accept a connection, answer, and let it close?
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { supervised } from "../../internal/Timeout.ts"
import * as ResourceMonitor from "../../Monitor/ResourceMonitor.ts"
import { endpointRule, flag, parseEndpoint } from "../Flags.ts"
import { printJson, write } from "../Output.ts"
import { openSpare } from "../SpareDescriptor.ts"
import { parseEscapes } from "./Escapes.ts"
import * as Probe from "./Probe.ts"
import * as Report from "./Report.ts"

const endpoint = Argument.String("endpoint").pipe(
  Argument.withDescription("host:port, [ipv6]:port, unix:path or /path"),
  Argument.mapTryCatch(parseEndpoint, endpointRule)
)

const bytes = (name: string, description: string): Flag.Flag<Option.Option<Uint8Array>> =>
  Flag.String(name).pipe(
    Flag.withMetavar("text"),
    Flag.withDescription(description),
    Flag.mapTryCatch((text) => Result.getOrThrow(parseEscapes(text)), String),
    Flag.optional
  )

const config = {
  endpoint,
  timeout: Flag.Finite("timeout").pipe(
    Flag.filter((n) => n >= 0.001 && n <= 86_400, () => "a number of seconds from 0.001 to 86400"),
    Flag.withDefault(5),
    Flag.withMetavar("seconds"),
    Flag.withDescription("Bound on each step: connecting, sending, the answer (default 5)")
  ),
  count: Flag.Int("count").pipe(
    Flag.filter((n) => n >= 1 && n <= 1_000_000, () => "a whole number from 1 to 1000000"),
    Flag.withDefault(1),
    Flag.withMetavar("n"),
    Flag.withDescription("How many connections to open, one after the other (default 1)")
  ),
  send: bytes("send", "What to send, with the escapes \\r \\n \\t \\0 \\\\ \\xNN"),
  expect: bytes("expect", "What must be part of the answer, with the same escapes"),
  mcp: flag("mcp", "Perform the MCP handshake and call ping"),
  tls: flag("tls", "Use TLS, and check the server's certificate"),
  json: flag("json", "Print the report as one JSON object")
}

interface Input extends Omit<Probe.Settings, "timeout" | "send" | "expect"> {
  readonly timeout: number
  readonly send: Option.Option<Uint8Array>
  readonly expect: Option.Option<Uint8Array>
  readonly json: boolean
}

const settingsOf = (input: Input): Effect.Effect<Probe.Settings, CliError.ShowHelp> => {
  const { count, endpoint, mcp, tls } = input
  const [send, expect] = [Option.getOrUndefined(input.send), Option.getOrUndefined(input.expect)]
  if (mcp && (send !== undefined || expect !== undefined)) {
    const userMessage = "--mcp cannot be used together with --send or --expect"
    const error = new CliError.UserError({ cause: userMessage, userMessage })
    return Effect.fail(new CliError.ShowHelp({ commandPath: ["sluice", "probe"], errors: [error] }))
  }
  return Effect.succeed({ endpoint, count, mcp, tls, send, expect, timeout: Duration.seconds(input.timeout) })
}

const checkDescriptors = ({ descriptors: { after, before } }: Report.Report) =>
  before === null || after === null || before === after
    ? Effect.void
    : Effect.fail(new Probe.ProbeFailed({ detail: `${after} descriptors are open, but ${before} were before` }))

const examine = (settings: Probe.Settings, json: boolean) =>
  Effect.gen(function*() {
    const monitor = yield* ResourceMonitor.ResourceMonitor
    yield* openSpare
    const before = (yield* monitor.sample).descriptors.used
    // A probe opens one connection at a time, so it needs no limits. It is to tell what is wrong also where a gate would refuse.
    const attempts = yield* Effect.provide(Probe.run(settings), ResourceMonitor.layerUnlimited)
    const after = (yield* monitor.sample).descriptors.used
    const report = Report.make(settings, attempts, { before, after })
    yield* checkDescriptors(report)
    yield* json ? printJson(report) : write(process.stdout, Report.text(report))
  }).pipe(
    Effect.tapError((error) =>
      json ? printJson({ endpoint: String(settings.endpoint), ok: false, error: error.detail }) : Effect.void
    ),
    // It counts the descriptors.
    Effect.provide(ResourceMonitor.layer)
  )

/**
 * After an interruption, the connection has this long to close before the process ends. So Ctrl-C does not wait for a peer that
 * is stuck.
 */
const patience = Duration.millis(250)

const promptly = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(supervised(effect, { within: Duration.infinity, patience }), (exit) => exit ?? Effect.interrupt)

/**
 * The command. It connects, sends, waits for an answer and closes, each with a timeout, and reports the times and how the
 * connection closed. The exit status is 0 after success, and 1 after a failure, with the reason in one line on standard
 * error.
 *
 * @category commands
 * @since 0.1.0
 */
export const probe = Command.make("probe", config, (input) =>
  Effect.gen(function*() {
    const settings = yield* settingsOf(input)
    yield* promptly(examine(settings, input.json))
  })).pipe(
    Command.withDescription("Connect to a server, close again, and report how it went"),
    Command.withExamples([
      { command: "sluice probe localhost:5432", description: "Does it accept a connection?" },
      {
        command: "sluice probe '[::1]:6379' --send 'PING\\r\\n' --expect PONG --count 100",
        description: "Does it answer, a hundred times?"
      },
      { command: "sluice probe multi-agent-container:9500 --mcp", description: "Does it speak MCP?" }
    ])
  )
