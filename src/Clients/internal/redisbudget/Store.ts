/**
 * Calls of the store, each with a deadline.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { type Redis, type RedisError, script } from "effect/persistence/Redis"
import { timeoutOptionRunning } from "../../../internal/Timeout.ts"
import { BudgetError } from "../../../Pool/ConnectionBudget.ts"
import { type InspectAnswer, type Reply, replyOf, type Snapshot, snapshotOf } from "./Reply.ts"
import { keysOf, type ScriptName, scripts } from "./Scripts.ts"

/** What the store needs of a Redis client. */
export type Client = Pick<Redis["Service"], "eval">

/** A request for a permit, or for a place in the queue. */
export interface Request {
  readonly id: string
  readonly weight: number
  readonly lease: number
  /** For how many milliseconds the place in the queue is kept; 0 if none is wanted. */
  readonly keep: number
  readonly channel: string | undefined
  readonly holder: string
  readonly isNew: boolean
  readonly label: string
}

/** The options that calls of the store need. */
export interface StoreOptions {
  readonly key: string
  readonly connections: number
  /** In milliseconds. */
  readonly storeTimeout: number
}

/** What a renewal is answered: the limit that applies, and for each id, whether it is still held. */
export interface Renewal {
  readonly limit: number
  readonly isHeld: ReadonlyArray<boolean>
}

/** The scripts of one budget. Each call fails with `BudgetError` when the store does not answer in time. */
export interface Store {
  readonly acquire: (request: Request) => Effect.Effect<Reply, BudgetError>
  readonly release: (ids: ReadonlyArray<string>) => Effect.Effect<number, BudgetError>
  readonly renew: (lease: number, ids: ReadonlyArray<string>) => Effect.Effect<Renewal, BudgetError>
  readonly setLimit: (limit: number | undefined) => Effect.Effect<number, BudgetError>
  readonly reap: Effect.Effect<number, BudgetError>
  readonly inspect: Effect.Effect<Snapshot, BudgetError>
}

const most = 1000

/** A text of at most 200 characters in one line. */
const short = (label: string): string => label.slice(0, 200).replaceAll(/\s/g, " ")

type Arguments = ReadonlyArray<string | number>

/** Makes the calls of a budget. */
export const makeStore = (client: Client, { connections, key, storeTimeout }: StoreOptions): Store => {
  const keys = keysOf(key)
  const call = <A>(name: ScriptName) => {
    const run = client.eval(
      script((...args: Arguments) => [...keys, connections, ...args], { ...scripts[name], numberOfKeys: keys.length })
        .withReturnType<A>()
    )
    const failed = (detail: string, cause?: RedisError) => new BudgetError({ budget: key, detail, cause })
    return (...args: Arguments): Effect.Effect<A, BudgetError> =>
      Effect.matchEffect(timeoutOptionRunning(run(...args), storeTimeout), {
        onFailure: (error) => Effect.fail(failed("its store has failed", error)),
        onSuccess: (inTime) =>
          inTime._tag === "Some"
            ? Effect.succeed(inTime.value)
            : Effect.fail(failed(`its store has not answered within ${storeTimeout}ms`))
      })
  }
  const acquire = call<ReadonlyArray<string | number>>("acquire")
  const release = call<number>("release")
  const renew = call<ReadonlyArray<number>>("renew")
  const setLimit = call<number>("setLimit")
  const inspect = call<InspectAnswer>("inspect")
  return {
    acquire: (request) => {
      const { channel = "-", holder, id, isNew, keep, label, lease, weight } = request
      return Effect.map(acquire(id, weight, lease, keep, channel, holder, isNew ? 1 : 0, short(label)), replyOf)
    },
    release: (ids) => release(...ids),
    renew: (lease, ids) =>
      Effect.map(
        renew(lease, ...ids),
        ([limit = connections, ...all]) => ({ limit, isHeld: all.map((each) => each === 1) })
      ),
    setLimit: (limit) => setLimit(limit ?? ""),
    reap: Effect.suspend(() => call<number>("reap")()),
    inspect: Effect.map(Effect.suspend(() => inspect(most)), snapshotOf)
  }
}
