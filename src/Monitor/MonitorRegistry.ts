/**
 * Lists the monitors of a program, so that code that shows their figures finds them in any order of layers.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { LiveList } from "../internal/LiveList.ts"
import { scopeHooks } from "../internal/ScopeHooks.ts"
import type { ResourceMonitor } from "./Service.ts"

/**
 * A registry of monitors.
 *
 * @category models
 * @since 0.1.0
 */
export type MonitorRegistry = Pick<LiveList<ResourceMonitor["Service"]>, "add" | "all" | "onChange">

/** The monitors of this process. Those of `layerTest`, `layerUnlimited` and `Layer.fresh` do not join it. */
export const processMonitors: MonitorRegistry = new LiveList<ResourceMonitor["Service"]>()

/**
 * The registry of the monitors that are made in this context: by default, that of the process.
 *
 * @category references
 * @since 0.1.0
 */
export const MonitorRegistry: Context.Reference<MonitorRegistry> = /*#__PURE__*/ Context.Reference<MonitorRegistry>(
  "effect-sluice/Monitor/MonitorRegistry",
  { defaultValue: () => processMonitors }
)

/**
 * Registers a monitor with the registry of its context, until the scope ends. A monitor of the process joins that of the process as well. Any
 * other monitor stays outside of the registry of the process, so that two tests in one process do not see each other's.
 *
 * @category operating
 * @since 0.1.0
 */
export const announced = (
  monitor: ResourceMonitor["Service"],
  isOfProcess: boolean
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(MonitorRegistry, (registry) => {
    const registries = new Set([registry])
    if (isOfProcess) registries.add(processMonitors)
    else registries.delete(processMonitors)
    let leave: ReadonlyArray<() => void>
    return scopeHooks(
      () => leave = Array.from(registries, (one) => one.add(monitor)),
      () => leave.forEach((one) => one())
    )
  })
