/**
 * What an operator sees and does: metrics of all pools and of the monitor, readiness, and one snapshot of everything.
 *
 * **Details**
 *
 * The pools and the monitor of the program are found in any order of layers, also those that are made later. A program that does not
 * import this module has no cost for it.
 *
 * @since 0.1.0
 * @stability experimental
 */
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import type { InvalidOption } from "../internal/InvalidOption.ts"
import type { ControlError } from "./ControlError.ts"
import { type Options, resolve } from "./internal/OperationsOptions.ts"
import { start } from "./internal/Start.ts"
import { type Control, Operations } from "./Service.ts"
import type { Readiness, Snapshot } from "./Snapshot.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { ControlError } from "./ControlError.ts"
export type { Options } from "./internal/OperationsOptions.ts"
export { type Control, Operations } from "./Service.ts"
export { Readiness, Snapshot } from "./Snapshot.ts"

const make = (options: Options): Effect.Effect<Operations["Service"], InvalidOption, Scope.Scope> =>
  Effect.flatMap(resolve(options), start)

/**
 * Watches all pools of the process and its monitor.
 *
 * **Details**
 *
 * The monitor is that of the context of the layer, if there is one. Otherwise it is that of the process, also if its layer is built
 * later.
 *
 * **Example** (A snapshot of a program)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as Operations from "effect-sluice/Operations"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *
 * const program = Effect.gen(function*() {
 *   yield* ConnectionPool.make({ name: "orders", connector })
 *   const { pools } = yield* Operations.snapshot()
 *   return pools.filter(({ name }) => name === "orders").length
 * }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(Operations.layer, ResourceMonitor.layer)))
 *
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const layer: Layer.Layer<Operations> = /*#__PURE__*/ Layer.effect(
  Operations,
  /*#__PURE__*/ Effect.orDie(/*#__PURE__*/ Effect.suspend(() => make({})))
)

/**
 * As {@link layer}, with options. It dies with `InvalidOption` when an option is invalid.
 *
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const layerOptions = (options: Options): Layer.Layer<Operations> =>
  Layer.effect(Operations, Effect.orDie(make(options)))

/**
 * As {@link layer}, with options from `Config`: one `Config` of all options, or a record with one for each option. It fails with
 * `ConfigError` when a value is missing, cannot be parsed, or is invalid as the option.
 *
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const layerConfig = (config: Config.Wrap<Options>): Layer.Layer<Operations, Config.ConfigError> =>
  Layer.effect(Operations, optionsFromConfig(config, (options: Options) => make(options)))

/**
 * The pools, the monitor and the history. With `required`, these pools count for readiness too.
 *
 * @category accessors
 * @since 0.1.0
 * @stability experimental
 */
export const snapshot = (required?: ReadonlyArray<string>): Effect.Effect<Snapshot, never, Operations> =>
  Operations.use((operations) => operations.snapshot(required))

/**
 * Whether requests should be sent to the program. The pools with these names count. It borrows and dials nothing.
 *
 * @category accessors
 * @since 0.1.0
 * @stability experimental
 */
export const readiness = (required?: ReadonlyArray<string>): Effect.Effect<Readiness, never, Operations> =>
  Operations.use((operations) => operations.readiness(required))

/**
 * From now on the program is not ready. It goes on with its work.
 *
 * @category operating
 * @since 0.1.0
 * @stability experimental
 */
export const retire: Effect.Effect<void, never, Operations> = /*#__PURE__*/ Operations.use(({ retire }) => retire)

/**
 * Does what an operator has asked for, and logs it. It fails with `ControlError` if there is no such pool, endpoint or lease.
 *
 * @category operating
 * @since 0.1.0
 * @stability experimental
 */
export const control = (command: Control): Effect.Effect<void, ControlError, Operations> =>
  Operations.use((operations) => operations.control(command))
