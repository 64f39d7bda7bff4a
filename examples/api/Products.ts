/**
 * The products, in PostgreSQL.
 */
import { Context, Data, Effect, Layer, Option } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

export interface Product {
  readonly id: number
  readonly name: string
}

/** The database has not done it, although it was asked again where that could help. */
export class NotStored extends Data.TaggedError("NotStored")<{ readonly cause: RetryPolicy.RetryError<SqlError> }> {}

export class Products extends Context.Service<Products, {
  readonly find: (id: number) => Effect.Effect<Option.Option<Product>, NotStored>
  readonly put: (product: Product) => Effect.Effect<void, NotStored>
}>()("api/Products") {}

/** Each statement here may run twice, so that one whose connection was lost is made again. */
const policy = RetryPolicy.make({
  idempotent: true,
  maxAttempts: 5,
  initialDelay: 50,
  maxDelay: 500,
  deadline: "5 seconds"
})

export const layer = Layer.effect(
  Products,
  Effect.gen(function*() {
    const sql = yield* SqlClient
    const monitor = yield* ResourceMonitor.ResourceMonitor
    const repeated = <A>(statement: Effect.Effect<A, SqlError>) =>
      RetryPolicy.retry(statement, policy, { label: "products" }).pipe(
        Effect.mapError((cause) => new NotStored({ cause })),
        Effect.provideService(ResourceMonitor.ResourceMonitor, monitor)
      )
    return Products.of({
      find: (id) =>
        Effect.map(
          repeated(sql<Product>`select id, name from api_products where id = ${id}`),
          ([product]) => Option.fromNullishOr(product)
        ),
      put: ({ id, name }) =>
        Effect.asVoid(repeated(
          sql`insert into api_products ${sql.insert({ id, name })} on conflict (id) do update set name = excluded.name`
        ))
    })
  })
)

/** Creates the table. A program of yours has migrations for that. */
export const migrate = Effect.flatMap(
  SqlClient,
  (sql) => sql`create table if not exists api_products (id int primary key, name text not null)`
)

/** The products of a test, in the place of the database. */
export const layerTest = (products: ReadonlyArray<Product> = []): Layer.Layer<Products> =>
  Layer.sync(Products, () => {
    const stored = new Map(products.map((product) => [product.id, product]))
    return Products.of({
      find: (id) => Effect.sync(() => Option.fromNullishOr(stored.get(id))),
      put: (product) => Effect.sync(() => void stored.set(product.id, product))
    })
  })
