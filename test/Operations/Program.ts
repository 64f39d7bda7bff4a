/**
 * A program with `Operations` whose pools and monitor no other program of the process sees, and what it logs.
 */
import { Effect, Layer, Logger, References, Schema } from "effect"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { LiveList } from "../../src/internal/LiveList.ts"
import { MonitorRegistry } from "../../src/Monitor/MonitorRegistry.ts"
import { PoolRegistry, type RegisteredPool } from "../../src/Pool/PoolRegistry.ts"
import { timeGoesOn } from "../support/Pools.ts"

export interface Logged {
  readonly level: string
  readonly text: string
  readonly annotations: Readonly<Record<string, unknown>>
  readonly at: number
}

/** What Effect's test clock logs when a test is slow. */
const ofTestClock = "A test is using time, but is not advancing the test clock"

/** Everything that is logged with this layer, and when. */
export const collect = () => {
  const lines: Array<Logged> = []
  const logger = Logger.make(({ date, fiber, logLevel, message }) => {
    if (String(message).startsWith(ofTestClock)) return
    lines.push({
      level: logLevel,
      text: String(message),
      annotations: fiber.getRef(References.CurrentLogAnnotations),
      at: date.getTime()
    })
  })
  return { lines, layer: Logger.layer([logger]) }
}

/** A test monitor and `Operations` in registries of their own. */
export const operated = (options: Operations.Options = {}) =>
  Operations.layerOptions({ scope: "context", ...options }).pipe(
    Layer.provideMerge(Layer.fresh(ResourceMonitor.layerTest)),
    Layer.provideMerge(Layer.mergeAll(
      Layer.sync(PoolRegistry, () => new LiveList<RegisteredPool>()),
      Layer.sync(MonitorRegistry, () => new LiveList<ResourceMonitor.ResourceMonitor["Service"]>())
    ))
  )

/** Runs a test with {@link operated}. When it fails, its time goes on, so that its pools are drained and it ends. */
export const withOperations = (options?: Operations.Options) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(Effect.scoped(Effect.onError(effect, () => Effect.forkDetach(timeGoesOn))), operated(options))

/** The tags of the reasons for which a program is not ready. */
export const reasons = (required?: ReadonlyArray<string>) =>
  Effect.map(Operations.readiness(required), ({ reasons }) => reasons.map(({ reason }) => reason))

/** The JSON of a snapshot. */
export const json = (required?: ReadonlyArray<string>) =>
  Effect.flatMap(
    Operations.snapshot(required),
    (snapshot) => Effect.map(Schema.encodeEffect(Operations.Snapshot)(snapshot), (encoded) => JSON.stringify(encoded))
  )
