/**
 * The internal extension. Without an extension, AWS Lambda ends an instance with SIGKILL, and sends no SIGTERM before.
 *
 * The requests follow AWS's documentation of the Extensions API. Extensions can be registered until the runtime requests its
 * first invocation, as the source of AWS's Runtime Interface Emulator shows.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import { timeoutOrElse } from "../../internal/Timeout.ts"

/**
 * The result of the registration.
 *
 * - `Registered`: Lambda sends SIGTERM.
 * - `Elsewhere`: the process is not on Lambda, or this thread does not register.
 * - `Refused`: Lambda will not send SIGTERM for this extension; `why` is its answer.
 */
export type Registration =
  | { readonly _tag: "Registered" }
  | { readonly _tag: "Elsewhere" }
  | { readonly _tag: "Refused"; readonly why: string }

/** The name must be unique among the extensions of the function. */
const name = "effect-sluice"

/** The platform answers on the same machine, so a second is enough. */
const patience = Duration.seconds(1)

class RequestFailed extends Data.TaggedError("RequestFailed")<{ readonly why: string }> {}

interface Request {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

interface Answer {
  readonly status: number
  readonly identifier: string
  readonly text: string
}

const send = (api: string, { body, headers, method, path }: Request): Http.ClientRequest => {
  // `api` is `host:port`.
  const request = process.getBuiltinModule("node:http").request(`http://${api}/2020-01-01/extension${path}`, {
    method,
    headers,
    agent: false
  })
  request.end(body)
  return request
}

const ask = (api: string, request: Request): Effect.Effect<Answer, RequestFailed> =>
  Effect.callback((resume) => {
    const fail = (error: Error) => resume(Effect.fail(new RequestFailed({ why: error.message })))
    const sent = send(api, request).on("error", fail).on("response", (response) => {
      const identifier = String(response.headers["lambda-extension-identifier"] ?? "")
      let text = ""
      response.setEncoding("utf8").on("error", fail).on("data", (part: string) => text += part)
      response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, identifier, text })))
    })
    return Effect.sync(() => sent.destroy())
  })

/**
 * Reports that the extension is ready; without this request, the initialization would not end. The extension subscribes to no
 * event, so no answer ever comes. The request does not keep the process alive.
 */
const park = (api: string, identifier: string): void => {
  const request = send(api, {
    method: "GET",
    path: "/event/next",
    headers: { "Lambda-Extension-Identifier": identifier }
  })
  request.on("socket", (socket) => socket.unref()).on("error", () => {}).on("response", (response) => response.resume())
}

const attempt = (api: string): Effect.Effect<Registration> => {
  const registration: Request = {
    method: "POST",
    path: "/register",
    headers: { "Lambda-Extension-Name": name, "Content-Type": "application/json" },
    body: "{\"events\":[]}"
  }
  const inTime = timeoutOrElse(ask(api, registration), {
    duration: patience,
    orElse: () => Effect.fail(new RequestFailed({ why: `no answer within ${Duration.format(patience)}` }))
  })
  return inTime.pipe(
    Effect.map(({ identifier, status, text }): Registration => {
      if (status !== 200) return { _tag: "Refused", why: `${status} ${text}` }
      park(api, identifier)
      return { _tag: "Registered" }
    }),
    Effect.catchTag("RequestFailed", ({ why }) => Effect.succeed<Registration>({ _tag: "Refused", why }))
  )
}

// One registration for the process, for any number of handlers and copies of this library.
const key = Symbol.for("effect-sluice/Serverless/LambdaExtension")
const shared: { [key]?: Promise<Registration> } & object = globalThis

/** The address of Lambda's interface from the environment; `undefined` outside Lambda. */
const runtimeApi = (): string | undefined => {
  // The platform sets this variable. It is no option of the program.
  // oxlint-disable-next-line effecttsgo/process-env
  const api = process.env["AWS_LAMBDA_RUNTIME_API"]
  return api === "" ? undefined : api
}

/** Whether this process runs on Lambda or an emulator. */
export const isOnLambda = (): boolean => runtimeApi() !== undefined

/** Registers the extension, once in a process. */
export const register: Effect.Effect<Registration> = Effect.suspend(() => {
  const api = runtimeApi()
  if (api === undefined || !process.getBuiltinModule("node:worker_threads").isMainThread) {
    return Effect.succeed<Registration>({ _tag: "Elsewhere" })
  }
  const registration = shared[key] ??= Effect.runPromise(attempt(api))
  return Effect.promise(() => registration)
})
