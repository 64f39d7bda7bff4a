/**
 * The users of the API: background load, a slow report now and then, a burst of searches, and an export that leaks.
 */
import { Effect, Layer, Random } from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpServer from "effect/http/HttpServer"

/** A user who asks again and again, whatever the answer is. */
const repeatedly = <E, R>(request: Effect.Effect<unknown, E, R>, pause: number) =>
  Effect.ignore(request).pipe(
    Effect.andThen(Effect.flatMap(Random.nextBetween(0.5, 1.5), (share) => Effect.sleep(pause * share))),
    Effect.forever
  )

const users = (client: HttpClient.HttpClient) => {
  const send = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.flatMap(client.execute(request), (response) => response.text)
  const get = (path: string) => send(HttpClientRequest.get(path))
  const post = (path: string) => send(HttpClientRequest.post(path))
  const anyOrder = Effect.flatMap(Random.nextIntBetween(1, 1000), (id) => get(`/orders/${id}`))
  const burst = Effect.forEach(Array.from({ length: 300 }), () => Effect.ignore(get("/search")), { concurrency: 30 })
  return [
    ...Array.from({ length: 8 }, () => repeatedly(anyOrder, 80)),
    ...Array.from({ length: 3 }, () => repeatedly(get("/search"), 150)),
    repeatedly(post("/mail"), 700),
    repeatedly(get("/report"), 5000),
    Effect.andThen(Effect.sleep("5 seconds"), repeatedly(post("/export"), 45_000)),
    Effect.andThen(Effect.sleep("8 seconds"), repeatedly(burst, 30_000))
  ]
}

/** Makes requests until its scope ends. */
export const layer = Layer.effectDiscard(Effect.gen(function*() {
  const base = yield* HttpServer.addressFormattedWith(Effect.succeed)
  const client = HttpClient.mapRequest(yield* HttpClient.HttpClient, HttpClientRequest.prependUrl(base))
  yield* Effect.forEach(users(client), (user) => Effect.forkScoped(user), { discard: true })
})).pipe(Layer.provide(FetchHttpClient.layer))
