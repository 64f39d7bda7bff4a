/**
 * The control endpoints.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import { ParsedSearchParams } from "effect/http/HttpServerRequest"
import { ControlError } from "../../ControlError.ts"
import type { Control, Operations } from "../../Service.ts"
import type { Guarded } from "./Guarded.ts"
import * as Responses from "./Responses.ts"

type Parameters = Readonly<Record<string, string | undefined>>

/** What a request asks for, from the parameters of its route and of its query. Both are decoded already. */
type Asked = (params: Parameters, query: ParsedSearchParams["Service"]) => Control | ControlError

const endpointIn = ({ endpoint }: ParsedSearchParams["Service"]): string | undefined =>
  typeof endpoint === "string" ? endpoint : endpoint?.[0]

const asked: Readonly<Record<string, Asked>> = {
  "/pools/:pool/evict": ({ pool = "" }, query) => ({ _tag: "Evict", pool, endpoint: endpointIn(query) }),
  "/pools/:pool/suspend": ({ pool = "" }) => ({ _tag: "Suspend", pool }),
  "/pools/:pool/resume": ({ pool = "" }) => ({ _tag: "Resume", pool }),
  "/pools/:pool/drain": ({ pool = "" }) => ({ _tag: "Drain", pool }),
  "/pools/:pool/leases/:lease/end": ({ lease = "", pool = "" }) =>
    /^\d{1,15}$/.test(lease)
      ? { _tag: "EndLease", pool, lease: Number(lease) }
      : new ControlError({ what: "lease", name: lease })
}

const notFound = (error: ControlError) => Responses.failed({ status: 404, error: "NotFound", message: error.message })

/** Adds the control endpoints. They take POST alone, so that no link and no image can ask for anything. */
export const addControl = Effect.fnUntraced(
  function*(router: HttpRouter.HttpRouter, operations: Operations["Service"], guarded: Guarded) {
    const run = (command: Control | ControlError) =>
      command._tag === "ControlError"
        ? Effect.succeed(notFound(command))
        : operations.control(command).pipe(
          Effect.as(Responses.json({ done: command._tag, pool: command.pool })),
          Effect.catch((error) => Effect.succeed(notFound(error)))
        )
    for (const [path, of] of Object.entries(asked)) {
      const answer = Effect.flatMap(
        HttpRouter.params,
        (params) => Effect.flatMap(ParsedSearchParams, (query) => run(of(params, query)))
      )
      yield* router.add("POST", path as HttpRouter.PathInput, guarded(answer, true))
    }
  }
)
