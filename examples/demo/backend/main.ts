/**
 * The process of a server. Each contender has one of its own, with the same faults at the same times, so that none of them is slowed
 * down by the load of another.
 */
import * as Endpoint from "effect-sluice/Endpoint"
import { FaultProxy } from "effect-sluice/Testing"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type { ScheduleStart, ServerStart } from "../Messages.ts"
import { listen, say } from "../Parent.ts"
import * as Faults from "./Faults.ts"
import * as Server from "./Server.ts"

const sampleEvery = "50 millis"

const sample = (proxy: FaultProxy.FaultProxy): Effect.Effect<void> =>
  Effect.gen(function*() {
    const open = yield* proxy.connections
    const accepted = yield* proxy.accepted
    say({ _tag: "Connections", at: performance.timeOrigin + performance.now(), open, accepted })
  })

const program = (messages: Queue.Dequeue<unknown>) =>
  Effect.gen(function*() {
    // The parent is a program of ours, which sends these two messages.
    const { upstream } = (yield* Queue.take(messages)) as ServerStart
    const target = upstream === undefined
      ? yield* Server.make
      : "path" in upstream
      ? Endpoint.unix(upstream.path)
      : Endpoint.tcp(upstream.host, upstream.port)
    const proxy = yield* FaultProxy.make(target)
    yield* Effect.forkScoped(Effect.repeat(sample(proxy), Schedule.spaced(sampleEvery)))
    say({ _tag: "Ready", port: proxy.endpoint.port })
    const { at, plan } = (yield* Queue.take(messages)) as ScheduleStart
    yield* Faults.run(proxy, plan, at)
    return yield* Effect.never
  }).pipe(Effect.scoped)

const messages = Effect.runSync(Queue.unbounded<unknown>())
listen((message) => void Queue.offerUnsafe(messages, message))
Effect.runPromise(program(messages)).catch((error: unknown) => {
  process.stderr.write(`the server of the demo: ${String(error)}\n`)
  process.exit(1)
})
