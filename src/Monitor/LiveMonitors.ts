/**
 * The monitors that are alive in this process. A second one with the same limits is the first one, so that each sees what the
 * other has reserved.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { InvalidOption } from "../internal/InvalidOption.ts"
import { whileOpen } from "../internal/WhileOpen.ts"
import type { Resolved } from "./Options.ts"
import { ResourceMonitor } from "./Service.ts"

interface LiveMonitor {
  readonly options: Resolved
  readonly layer: Layer.Layer<ResourceMonitor, InvalidOption>
  users: number
}

/** By limits. This list is the only state outside of layers. */
const live = new Map<string, LiveMonitor>()

/** Closes a monitor after the last of its users. */
const memoMap = /*#__PURE__*/ Layer.makeMemoMapUnsafe()

/** The warnings that were logged since the list was empty. */
const logged = new Set<"limits" | "options">()

/** What decides at the gate. Monitors that differ in one of these cannot be one. */
const limits = [
  "maxDescriptors",
  "maxMemory",
  "maxConnections",
  "headroom",
  "warningThreshold",
  "errorThreshold"
] as const

/** What a monitor does by itself. One that is shared does it as its first user says. */
const others = [
  "recoveryBand",
  "recoverySamples",
  "recoveryHold",
  "projectionHorizon",
  "cleanupCooldown",
  "maintenanceInterval",
  "driftWindow",
  "leakLogInterval"
] as const

const shown = (value: number | Duration.Duration | undefined): string =>
  Duration.isDuration(value) ? Duration.format(value) : value === undefined ? "by default" : String(value)

const keyOf = (options: Resolved): string => limits.map((name) => shown(options[name])).join()

const differences = (
  names: ReadonlyArray<typeof limits[number] | typeof others[number]>,
  first: Resolved,
  second: Resolved
): string =>
  names.filter((name) => shown(first[name]) !== shown(second[name]))
    .map((name) => `${name} ${shown(first[name])} and ${shown(second[name])}`).join(", ")

const warnOnce = (kind: "limits" | "options", text: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (logged.has(kind)) return Effect.void
    logged.add(kind)
    return Effect.logWarning(`ResourceMonitor: ${text}`)
  })

/** Warns of a monitor with other limits. */
const warnOfOther = (key: string, options: Resolved): Effect.Effect<void> => {
  const other = Array.from(live).find(([otherKey]) => otherKey !== key)?.[1]
  return other === undefined ? Effect.void : warnOnce(
    "limits",
    `two monitors with different limits are alive in this process: ${differences(limits, other.options, options)}. ` +
      "Neither sees what the other reserves. Give both the same limits, or use one"
  )
}

/** Warns of options that do not hold because the monitor is shared. */
const warnOfOptions = (first: Resolved, second: Resolved): Effect.Effect<void> => {
  const text = differences(others, first, second)
  return text === "" ? Effect.void : warnOnce(
    "options",
    `two monitors with the same limits are one in this process, with the options of the first: ${text}`
  )
}

const join = (key: string, options: Resolved, layer: LiveMonitor["layer"]): LiveMonitor => {
  const monitor = live.get(key) ?? { options, layer, users: 0 }
  live.set(key, monitor)
  monitor.users++
  return monitor
}

const leave = (key: string, monitor: LiveMonitor): void => {
  if (--monitor.users === 0) live.delete(key)
  if (live.size === 0) logged.clear()
}

/**
 * The monitor with these limits that is alive in this process, or else one that is made now. It ends with the scope of its
 * last user.
 *
 * @category constructors
 * @since 0.1.0
 */
export const share = (
  options: Resolved,
  make: Effect.Effect<ResourceMonitor["Service"], InvalidOption, Scope.Scope>,
  scope: Scope.Scope
): Effect.Effect<ResourceMonitor["Service"], InvalidOption> => {
  const key = keyOf(options)
  let monitor: LiveMonitor
  return Effect.gen(function*() {
    yield* Scope.provide(
      whileOpen(() => monitor = join(key, options, Layer.effect(ResourceMonitor, make)), () => leave(key, monitor)),
      scope
    )
    yield* warnOfOther(key, options)
    yield* warnOfOptions(monitor.options, options)
    return Context.get(yield* Layer.buildWithMemoMap(monitor.layer, memoMap, scope), ResourceMonitor)
  })
}
