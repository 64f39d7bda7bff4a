/**
 * A program for Effect's `HttpClient`, written for the layers of `NodeHttpClient`. It knows nothing of this library.
 */
import { Effect, Schema, Stream } from "effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Http from "node:http"

const User = Schema.Struct({ id: Schema.Finite, name: Schema.String })

/** The server of the program. */
export const listener: Http.RequestListener = (request, response) => {
  const json = (status: number, value: unknown) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))
  switch (request.url) {
    case "/user?id=7":
      return json(200, { id: 7, name: "Ada" })
    case "/echo":
      return void request.pipe(response)
    case "/moved":
      return void response.writeHead(302, { location: "/user?id=7" }).end()
    case "/parts":
      return void response.end("part ".repeat(100_000))
    case "/slow":
      return
    case "/cut":
      response.writeHead(200, { "content-length": 10 }).write("12345")
      return void setTimeout(() => response.destroy(), 10)
    default:
      return json(404, { missing: request.url })
  }
}

const causeOf = ({ reason }: HttpClientError): unknown =>
  reason._tag === "TransportError" || reason._tag === "DecodeError" ? reason.cause : undefined

const shown = (error: HttpClientError) => {
  const cause = causeOf(error)
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  return { tag: error._tag, reason: error.reason._tag, method: error.request.method, code }
}

export const program = (url: string) =>
  Effect.gen(function*() {
    const client = (yield* HttpClient.HttpClient).pipe(HttpClient.mapRequest(HttpClientRequest.prependUrl(url)))
    const ok = HttpClient.filterStatusOk(client)
    const user = yield* Effect.flatMap(
      ok.get("/user", { urlParams: { id: 7 } }),
      HttpClientResponse.schemaBodyJson(User)
    )
    const echo = yield* Effect.flatMap(
      client.execute(HttpClientRequest.post("/echo").pipe(HttpClientRequest.bodyText("hello"))),
      (response) => response.text
    )
    const moved = yield* Effect.flatMap(HttpClient.followRedirects(client).get("/moved"), (response) => response.json)
    const parts = yield* client.get("/parts").pipe(
      HttpClientResponse.stream,
      Stream.runFold(() => 0, (length, part) => length + part.length)
    )
    const missing = yield* Effect.flip(ok.get("/nothing"))
    const head = yield* Effect.map(
      client.head("/user?id=7"),
      ({ headers, status }) => [status, headers["content-type"]]
    )
    const slow = yield* Effect.timeoutOption(client.get("/slow"), "50 millis")
    const cut = yield* Effect.flip(Effect.flatMap(client.get("/cut"), (response) => response.text))
    return { user, echo, moved, parts, missing: shown(missing), head, slow: slow._tag, cut: shown(cut) }
  })
