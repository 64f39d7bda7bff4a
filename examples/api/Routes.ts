/**
 * The routes. They know the products and the cache, and neither pool.
 */
import { Effect, Layer, Option, Schema } from "effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { Cache } from "./Cache.ts"
import { type NotStored, Products } from "./Products.ts"

const Path = Schema.Struct({ id: Schema.FiniteFromString })
const Body = Schema.Struct({ name: Schema.String })

const answer = (status: number, body: object) => HttpServerResponse.jsonUnsafe(body, { status })

/** The client may ask again: the database is away, and the pool looks for it. */
const unavailable = ({ cause }: NotStored) =>
  Effect.as(
    Effect.logWarning(cause.message),
    HttpServerResponse.setHeader(answer(503, { error: "the database does not answer" }), "retry-after", "1")
  )

const invalid = () => Effect.succeed(answer(400, { error: "the request is not valid" }))

const find = Effect.gen(function*() {
  const [cache, products] = [yield* Cache, yield* Products]
  const { id } = yield* HttpRouter.schemaPathParams(Path)
  const cached = yield* cache.get(id)
  if (Option.isSome(cached)) return answer(200, { id, name: cached.value, cached: true })
  const product = yield* products.find(id)
  if (Option.isNone(product)) return answer(404, { error: "there is no such product" })
  yield* cache.set(id, product.value.name)
  return answer(200, { ...product.value, cached: false })
}).pipe(Effect.catchTags({ NotStored: unavailable, SchemaError: invalid }))

const put = Effect.gen(function*() {
  const [cache, products] = [yield* Cache, yield* Products]
  const { id, name } = yield* HttpRouter.schemaJson(Schema.Struct({ pathParams: Path, body: Body })).pipe(
    Effect.map(({ body, pathParams }) => ({ id: pathParams.id, name: body.name }))
  )
  yield* products.put({ id, name })
  yield* cache.remove(id)
  return HttpServerResponse.empty({ status: 204 })
}).pipe(Effect.catchTags({ NotStored: unavailable, SchemaError: invalid, HttpServerError: invalid }))

export const layer = Layer.mergeAll(
  HttpRouter.add("GET", "/products/:id", find),
  HttpRouter.add("PUT", "/products/:id", put)
)
