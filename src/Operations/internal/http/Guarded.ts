/**
 * Puts the guard before an answer, and logs what it refuses.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest, type ParsedSearchParams } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import { makeGuard } from "./Guard.ts"
import * as Responses from "./Responses.ts"
import type { RouteSettings } from "./Settings.ts"

/** The answer to a request. */
export type Answer = Effect.Effect<
  HttpServerResponse,
  never,
  HttpServerRequest | ParsedSearchParams | HttpRouter.RouteContext
>

/** Puts the guard before an answer. */
export type Guarded = (answer: Answer, needsToken: boolean) => Answer

const mostLines = 10
const minute = 60_000

/**
 * Logs one line for a refused request, and at most ten in a minute: a caller that tries many tokens must not fill the log. The next line
 * says how many were left out.
 */
const makeRefusedLog = () => {
  let since = -Infinity
  let lines = 0
  let omitted = 0
  return (line: string): Effect.Effect<void> =>
    Effect.clockWith((clock) => {
      const now = clock.currentTimeMillisUnsafe()
      if (Math.abs(now - since) >= minute) {
        since = now
        lines = 0
      }
      if (lines === mostLines) {
        omitted++
        return Effect.void
      }
      lines++
      const more = omitted === 0 ? "" : `; ${omitted} more were refused since the last such line`
      omitted = 0
      return Effect.logWarning(line + more)
    })
}

/** The host of an absolute URL. A request of the Fetch API has its host there alone. */
const hostIn = (url: string): string | undefined => /^https?:\/\/([^/?#]+)/i.exec(url)?.[1]

const addressOf = (request: HttpServerRequest): string => Option.getOrElse(request.remoteAddress, () => "unknown")

/** The guard of these settings. What is logged while an answer is made has the address of the client. */
export const makeGuarded = (settings: RouteSettings): Guarded => {
  const guard = makeGuard(settings)
  const log = makeRefusedLog()
  return (answer, needsToken) =>
    Effect.gen(function*() {
      const request = yield* HttpServerRequest
      const { authorization, host = hostIn(request.originalUrl), origin } = request.headers
      const refusal = guard({ authorization, host, origin }, needsToken)
      const address = addressOf(request)
      if (refusal === undefined) return yield* Effect.annotateLogs(answer, { "client.address": address })
      // The pattern of the route, and not the path: the text of a caller who may not ask for anything has no place in the log.
      const { route } = yield* HttpRouter.RouteContext
      yield* log(`refused ${request.method} ${route.path} from ${address}: ${refusal.message} (${refusal.status})`)
      return Responses.failed(refusal)
    })
}
