/**
 * Lists the monitors of a program, so that code that shows their figures finds them in any order of layers.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import { LiveList } from "../internal/LiveList.ts"
import type { ResourceMonitor } from "./Service.ts"

/**
 * A registry of monitors.
 *
 * @category models
 * @since 0.1.0
 */
export type MonitorRegistry = Pick<LiveList<ResourceMonitor["Service"]>, "add" | "all" | "onChange">

/** The monitors of this process. Those of `layerTest` and `layerUnlimited` do not join it. */
export const processMonitors: MonitorRegistry = new LiveList<ResourceMonitor["Service"]>()

/**
 * The registry of the monitors that are made in this context: by default, that of the process.
 *
 * @category references
 * @since 0.1.0
 */
export const MonitorRegistry: Context.Reference<MonitorRegistry> = Context.Reference<MonitorRegistry>(
  "effect-sluice/Monitor/MonitorRegistry",
  { defaultValue: () => processMonitors }
)
