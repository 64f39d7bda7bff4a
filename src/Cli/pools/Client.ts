/**
 * Requests to the operations server of a program.
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { errorText, safeText } from "../../internal/SafeText.ts"
import { Snapshot } from "../../Operations/Snapshot.ts"
import { controlUrl, type Request, snapshotUrl } from "./Target.ts"

/**
 * The program did not do what it was asked for. The message is one line, with the address and the reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestFailed extends Data.TaggedError("RequestFailed")<{
  readonly command: string
  readonly target: string
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
  override get message(): string {
    return `sluice ${this.command}: ${this.target}: ${this.detail}`
  }
}

/** A program and what authorizes the requests to it. `command` is the subcommand, which begins the message of an error. */
export interface Program {
  readonly command: "pools" | "top"
  readonly target: URL
  readonly token: Redacted.Redacted | undefined
}

/** A program that stands still accepts a request and does not answer. In milliseconds. */
const patience = 5000

/** The longest answer, in bytes. A snapshot is at most a few hundred kilobytes. */
const longest = 16 * 1024 * 1024

const tooLong = Symbol()

/** The text of an answer, or {@link tooLong}. */
const textOf = (response: HttpClientResponse) =>
  Effect.gen(function*() {
    const chunks: Array<Uint8Array> = []
    let size = 0
    const isWhole = yield* response.stream.pipe(
      Stream.takeWhile((chunk) => {
        size += chunk.length
        return size <= longest
      }),
      Stream.runForEach((chunk) => Effect.sync(() => void chunks.push(chunk))),
      Effect.map(() => size <= longest)
    )
    return isWhole ? Buffer.concat(chunks).toString("utf8") : tooLong
  })

const decodeJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))
const decodeSnapshot = Schema.decodeUnknownEffect(Snapshot)
const decodeRefusal = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct({ message: Schema.String })))

/** An answer that was received whole. */
interface Answer {
  readonly status: number
  readonly text: string
}

/** `hint` is a text of ours, which is shown as it is. */
const failedWith = ({ command, target }: Program, detail: string, hint = ""): RequestFailed =>
  new RequestFailed({ command, target: target.href, detail: safeText(detail.replace(/\s+/g, " ").trim(), 400) + hint })

const transportText = ({ message, reason }: HttpClientError): string =>
  "cause" in reason && reason.cause !== undefined ? `no answer: ${errorText(reason.cause)}` : message

const send = (
  program: Program,
  method: "GET" | "POST",
  url: URL
): Effect.Effect<Answer, RequestFailed, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const request = pipe(
      HttpClientRequest.make(method)(url),
      HttpClientRequest.acceptJson,
      program.token === undefined ? (request) => request : HttpClientRequest.bearerToken(program.token)
    )
    const response = yield* client.execute(request)
    const text = yield* textOf(response)
    if (text === tooLong) return yield* failedWith(program, `the answer is longer than ${longest / 1024 / 1024} MiB`)
    return { status: response.status, text }
  }).pipe(
    Effect.catchTag("HttpClientError", (error) => Effect.fail(failedWith(program, transportText(error)))),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(failedWith(program, `no answer within ${patience / 1000} s`))
    }),
    // Nothing exports the spans of a command.
    Effect.provideService(HttpClient.TracerPropagationEnabled, false)
  )

const isOk = ({ status }: Answer): boolean => status >= 200 && status < 300

const hints: Readonly<Record<number, string>> = {
  401: "; give the token with --token or in SLUICE_TOKEN",
  404: "; is this the address of the status page?"
}

/** Fails with what the program has to say. */
const refuse = (program: Program, { status, text }: Answer, hint: string): Effect.Effect<never, RequestFailed> =>
  decodeRefusal(text).pipe(
    Effect.map(({ message }) => failedWith(program, message, ` (${status})${hint}`)),
    Effect.orElseSucceed(() => failedWith(program, `the answer has the status ${status}`, hint)),
    Effect.flip
  )

/** A snapshot as it was sent, with fields that this version does not know, and as it is shown. */
export interface Taken {
  readonly sent: unknown
  /** Its texts have no control characters. */
  readonly snapshot: Snapshot
}

/** The longest text that is shown. */
const longestText = 1000

/** The same value without anything that acts on a terminal: a server may send names and errors as they are. */
const harmless = (value: unknown): unknown => {
  if (typeof value === "string") return safeText(value, longestText)
  if (Array.isArray(value)) return value.map(harmless)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [safeText(key, longestText), harmless(field)]))
}

const parsed = (program: Program, text: string): Effect.Effect<unknown, RequestFailed> =>
  Effect.mapError(decodeJson(text), () => failedWith(program, "the answer is not JSON"))

/** Takes a snapshot of the program. */
export const takeSnapshot = (program: Program): Effect.Effect<Taken, RequestFailed, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const answer = yield* send(program, "GET", snapshotUrl(program.target))
    if (!isOk(answer)) return yield* refuse(program, answer, hints[answer.status] ?? "")
    const sent = yield* parsed(program, answer.text)
    const snapshot = yield* Effect.mapError(
      decodeSnapshot(harmless(sent)),
      (error) => failedWith(program, `the answer is not a snapshot that this version reads: ${error.message}`)
    )
    return { sent, snapshot }
  })

/** Asks the program to do something with a pool. The result is the answer. */
export const control = (
  program: Program,
  request: Request
): Effect.Effect<unknown, RequestFailed, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const answer = yield* send(program, "POST", controlUrl(program.target, request))
    if (!isOk(answer)) return yield* refuse(program, answer, answer.status === 401 ? hints[401] ?? "" : "")
    return yield* parsed(program, answer.text)
  })

/** The client. Its connections close with the scope. */
export const layer: Layer.Layer<HttpClient.HttpClient> = NodeHttpClient.layerNodeHttp
