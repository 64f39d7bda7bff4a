/** Requests to a server of operations, with any header, and a service that answers as a test wants. */
import { Effect, Layer } from "effect"
import { Operations, type Readiness, type Snapshot } from "effect-sluice/Operations"
import type { Control } from "effect-sluice/Operations"
import { ControlError } from "effect-sluice/Operations"
import * as Http from "node:http"

/** What a request says. */
export interface Asked {
  readonly method?: string
  readonly headers?: Record<string, string>
}

/** What a server answers. */
export interface Answered {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly body: string
}

/** One request on a connection of its own. */
export const request = (url: string, { headers = {}, method = "GET" }: Asked = {}): Effect.Effect<Answered, Error> =>
  Effect.callback((resume) => {
    const sent = Http.request(url, { method, headers, agent: false }, (response) => {
      let body = ""
      response.setEncoding("utf8")
      response.on("data", (part: string) => body += part)
      response.on(
        "end",
        () => resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, body }))
      )
      response.on("error", (error) => resume(Effect.fail(error)))
    })
    sent.on("error", (error) => resume(Effect.fail(error)))
    sent.end()
    return Effect.sync(() => sent.destroy())
  })

export const emptySnapshot: Snapshot = {
  version: 1,
  at: 0,
  process: { pid: 1, uptime: 1, library: "0.1.0", runtime: "node" },
  isRetiring: false,
  readiness: { isReady: true, reasons: [] },
  pools: [],
  history: { interval: 1000, length: 0, pools: {}, resources: {} }
}

export const ready: Readiness = { isReady: true, reasons: [] }

/** A service whose answers are those of `state`, and which writes down what it is asked to do. */
export const fake = (state: { readiness?: Readiness; snapshot?: Snapshot } = {}) => {
  const commands: Array<Control> = []
  const required: Array<ReadonlyArray<string> | undefined> = []
  const service = Operations.of({
    snapshot: (pools) => {
      required.push(pools)
      return Effect.succeed(state.snapshot ?? emptySnapshot)
    },
    readiness: (pools) => {
      required.push(pools)
      return Effect.sync(() => state.readiness ?? ready)
    },
    retire: Effect.void,
    control: (command) =>
      command.pool === "missing"
        ? Effect.fail(new ControlError({ what: "pool", name: command.pool }))
        : Effect.andThen(Effect.logInfo(`control: ${command._tag}`), Effect.sync(() => void commands.push(command)))
  })
  return { commands, required, layer: Layer.succeed(Operations, service) }
}
