/**
 * The pools of the API. Each has a name, under which the page, the metrics and the log know it.
 */
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import { lookup, Servers } from "./Servers.ts"

const connector = JsonRpcClient.connector({ requestTimeout: "4 seconds", connectTimeout: "2 seconds", lookup })

/** Three servers, of which each has some of the orders. A lease of more than 10 seconds is reported, one of more than a minute ended. */
export class Orders extends ConnectionPool.Service<Orders>()("operations/Orders", {
  name: "orders",
  connector,
  maxPerEndpoint: 4,
  maxTotal: 10,
  acquireTimeout: "3 seconds",
  leakThreshold: "10 seconds",
  maxLease: "1 minute"
}) {}

export class Search extends ConnectionPool.Service<Search>()("operations/Search", {
  name: "search",
  connector,
  maxPerEndpoint: 6,
  maxTotal: 6,
  acquireTimeout: "2 seconds",
  maxWaiters: 50
}) {}

export class Mail extends ConnectionPool.Service<Mail>()("operations/Mail", {
  name: "mail",
  connector,
  minPerEndpoint: 1,
  acquireTimeout: "5 seconds"
}) {}

export const layer = Layer.mergeAll(Orders.layer, Search.layer, Mail.layer)

/** Has the server work for a time. */
const work = (millis: number) => (client: JsonRpcClient.JsonRpcClient) => client.request("work", { millis })

export const findOrder = (id: number) =>
  Effect.flatMap(
    Servers,
    ({ orders: [first, second, third] }) =>
      Orders.withConnection(id % 3 === 0 ? first : id % 3 === 1 ? second : third, work(5 + id % 40))
  )

/** Holds a connection for seconds, as reports do. */
export const makeReport = Effect.flatMap(
  Servers,
  ({ orders: [first] }) => Orders.withConnection(first, work(3500))
)

/** Never returns its connection: the work that it waits for has no end. */
export const exportOrders = Effect.flatMap(
  Servers,
  ({ orders: [, , third] }) => Orders.withConnection(third, () => Effect.never)
)

export const findText = Effect.flatMap(Servers, ({ search }) => Search.withConnection(search, work(60)))

export const sendMail = Effect.flatMap(Servers, ({ mail }) => Mail.withConnection(mail, work(150)))
