/**
 * What the session of a client of `pg` is doing: waiting for an answer, or in a transaction.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Client } from "pg"
import { isObject, readString } from "../../internal/SafeRead.ts"

/** The clients whose session is in a transaction, also in a failed one. Older versions of `pg` do not report it. */
const inTransaction = new WeakSet<Client>()

/** The clients whose connection has ended. */
const ended = new WeakSet<Client>()

/** `readyForQuery` is not in the types of `pg`. Without it a client counts as ready. */
const isReady = (client: Client): boolean => !("readyForQuery" in client) || client.readyForQuery === true

const untilReady = (client: Client): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const ready = () => resume(Effect.void)
    if (isReady(client) || ended.has(client)) return ready()
    client.connection.once("readyForQuery", ready).once("end", ready)
    return Effect.sync(() => void client.connection.off("readyForQuery", ready).off("end", ready))
  })

/** Whether an error is an answer of the server. An error of the connection is not followed by `ReadyForQuery`. */
const isOfServer = (error: unknown): boolean => isObject(error) && readString(error, "severity") !== undefined

/**
 * Delays the failure of a statement. The server sends an error before its message `ReadyForQuery`. The statement fails after that
 * message, so that the state of the session is known when the borrow ends.
 */
const failWhenReady = (client: Client): void => {
  const query: unknown = Reflect.get(client, "query")
  const later = (error: unknown) =>
    Effect.runPromise(isOfServer(error) ? untilReady(client) : Effect.void).then(() => {
      throw error
    })
  const own = (...args: ReadonlyArray<unknown>): unknown => {
    const answer: unknown = Reflect.apply(query as () => unknown, client, args)
    return answer instanceof Promise ? answer.catch(later) : answer
  }
  Object.assign(client, { query: own })
}

/** Follows the session of a new client. */
export const follow = (client: Client): Client => {
  client.connection.on("readyForQuery", ({ status }: { readonly status: string }) => {
    if (status === "I") inTransaction.delete(client)
    else inTransaction.add(client)
  })
  client.connection.once("end", () => ended.add(client))
  failWhenReady(client)
  return client
}

/** Whether no query waits for its answer, and no transaction is open. */
export const isIdle = (client: Client): boolean => isReady(client) && !inTransaction.has(client)
