/**
 * The faults of the server, all of them at a proxy before it, so that any server can have them.
 */
import type { FaultProxy } from "effect-sluice/Testing"
import * as Effect from "effect/Effect"
import { type Fault, type FaultKind, type Plan, slowness } from "../Plan.ts"

type Proxy = FaultProxy.FaultProxy

interface Manner {
  readonly begin: (proxy: Proxy) => Effect.Effect<void>
  readonly end: (proxy: Proxy) => Effect.Effect<void, FaultProxy.FaultProxyError>
}

const manners: Readonly<Record<FaultKind, Manner>> = {
  down: { begin: (proxy) => Effect.andThen(proxy.refuse, proxy.reset), end: (proxy) => proxy.accept },
  frozen: { begin: (proxy) => proxy.freeze, end: (proxy) => proxy.thaw },
  restart: { begin: (proxy) => Effect.andThen(proxy.refuse, proxy.cut), end: (proxy) => proxy.accept },
  slow: { begin: (proxy) => proxy.delay(slowness), end: (proxy) => proxy.delay(0) }
}

/** Waits until a time of the wall clock. */
const until = (time: number): Effect.Effect<void> =>
  Effect.suspend(() => Effect.sleep(Math.max(0, time - performance.timeOrigin - performance.now())))

const one = (proxy: Proxy, { from, kind, to }: Fault, at: number) => {
  const { begin, end } = manners[kind]
  return until(at + from).pipe(
    Effect.andThen(begin(proxy)),
    Effect.andThen(until(at + to)),
    Effect.andThen(end(proxy))
  )
}

/** Runs all faults of a plan that starts at a time of the wall clock. */
export const run = (
  proxy: Proxy,
  plan: Plan,
  at: number
): Effect.Effect<void, FaultProxy.FaultProxyError> =>
  Effect.forEach(plan.faults, (fault) => one(proxy, fault, at), { discard: true })
