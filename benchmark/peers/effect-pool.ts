/**
 * Effect's own pool, by `Pool.use`, which is its fastest way.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pool from "effect/Pool"
import { crowdOfFibers, hold, opened } from "./fibers.ts"
import { connect, poolSize } from "./peer.ts"

const make = Pool.make({ acquire: Effect.acquireRelease(Effect.sync(connect), () => Effect.void), size: poolSize })

/** It has no timeout of its own, so one is put around the borrow. */
export const open = async (acquireTimeout: number | undefined) => {
  const { close, pool } = await opened(make)
  const serial = crowdOfFibers(() => Pool.use(pool, () => Effect.void))
  const borrow = acquireTimeout === undefined
    ? () => Pool.use(pool, hold)
    : () => Effect.timeout(Pool.use(pool, hold), acquireTimeout)
  return { crowd: crowdOfFibers<Cause.TimeoutError>(borrow), serial: (times: number) => serial(1, times), close }
}
