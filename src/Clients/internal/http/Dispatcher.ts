/**
 * undici's `Dispatcher` over a pool.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Readable } from "node:stream"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import { Exchange, type Exchanges } from "./Exchange.ts"
import { withOwnForm } from "./FormBody.ts"
import { keyed } from "./Origin.ts"

type DispatchOptions = Undici.Dispatcher.DispatchOptions
type Handler = Undici.Dispatcher.DispatchHandler
type RequestOptions = Undici.Dispatcher.RequestOptions<unknown>
type RequestCallback = (error: Error | null, data: Undici.Dispatcher.ResponseData<unknown>) => void

/** The options of a dispatcher, and those of its exchanges. */
export interface DispatcherOptions extends Exchanges {
  /** The context of requests that no fiber makes. */
  readonly context: Context.Context<never>
  /** How long `close` waits for the exchanges under way. */
  readonly drainTimeout: number
}

/** The body of an answer, as soon as its reader has it. */
interface Reader {
  body: Readable | undefined
}

/** Makes a dispatcher whose requests each lease one connection. */
export const makeDispatcher = (undici: typeof Undici, options: DispatcherOptions): Undici.Dispatcher => {
  const drain = (deadline: number) => Effect.runPromise(ConnectionPool.drain(options.pool, deadline))
  // The reader of the request that is being dispatched. An interceptor dispatches in the same step; when it repeats a request, there is none.
  let reader: Reader | undefined

  class PoolDispatcher extends undici.Dispatcher {
    override dispatch(dispatched: DispatchOptions, handler: Handler): boolean {
      try {
        const [key, request] = keyed(dispatched)
        const context = Fiber.getCurrent()?.context ?? options.context
        new Exchange(options, { key, options: request, handler, context, reader }).start()
        return true
      } catch (error) {
        if (handler.onResponseError === undefined) throw error
        // undici's dispatchers give no controller here either, which its type does not say.
        handler.onResponseError(null as never, error instanceof Error ? error : new Error(String(error)))
        return false
      }
    }

    /** As undici's, and the exchange knows the body by which it sees whether that is read. */
    override request(request: RequestOptions, callback?: RequestCallback): Promise<never> & void {
      const own: Reader = { body: undefined }
      const ask = (done: RequestCallback): void => {
        reader = own
        try {
          super.request(withOwnForm(undici, request), (error, data) => {
            own.body = data?.body
            done(error, data)
          })
        } finally {
          reader = undefined
        }
      }
      const result = callback === undefined
        // oxlint-disable-next-line effecttsgo/new-promise -- undici's own function with a promise would cost a second one
        ? new Promise<Undici.Dispatcher.ResponseData<unknown>>((resolve, reject) =>
          ask((error, data) => error === null ? resolve(data) : reject(error))
        )
        : ask(callback)
      // The overloads of undici's class: a promise without a callback, nothing with one.
      return result as Promise<never> & void
    }

    override close(callback?: () => void): Promise<void> & void {
      return ended(drain(options.drainTimeout), callback)
    }

    override destroy(errorOrCallback?: Error | null | (() => void), callback?: () => void): Promise<void> & void {
      return ended(drain(0), typeof errorOrCallback === "function" ? errorOrCallback : callback)
    }
  }

  return new PoolDispatcher()
}

/** A promise without a callback, nothing with one, as the overloads of undici's class have it. */
const ended = (done: Promise<void>, callback: (() => void) | undefined): Promise<void> & void => {
  const result = callback === undefined ? done : void done.then(callback)
  return result as Promise<void> & void
}
