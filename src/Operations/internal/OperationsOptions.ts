/**
 * The options of `Operations`, with every default filled in.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { InvalidOption } from "../../internal/InvalidOption.ts"
import { aboveZero, checkOptions, refusing } from "../../internal/Options.ts"

/**
 * What is watched, and what is done with it.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Options {
  /**
   * Which pools are watched: all pools of the process, or those of the registry of the context, which is that of the program under
   * `Main`, `Lambda` and the other entry points of platforms.
   *
   * @default "process"
   */
  readonly scope?: "process" | "context" | undefined
  /** How often the gauges are read and the history is continued; above 0. @default 5 seconds */
  readonly interval?: Duration.Input | undefined
  /** Whether the metrics are recorded. @default true */
  readonly metrics?: boolean | undefined
  /**
   * Whether the metrics with names of the runtime (`process.*`, `nodejs.*`, `v8js.*`) are recorded too. Switch them off if an SDK
   * records them, because there would be two series with one name.
   *
   * @default true
   */
  readonly runtimeMetrics?: boolean | undefined
  /** Whether outages, changes of level, and the end of `Main.launch` are logged. The monitor logs leaks itself. @default true */
  readonly logs?: boolean | undefined
  /** The names of the pools without which the program is not ready. @default [] */
  readonly required?: ReadonlyArray<string> | undefined
  /**
   * A required pool is not ready when its first borrower has waited for so long, and no borrower has got a connection in that time; above
   * 0. @default 1 second
   */
  readonly stalledAfter?: Duration.Input | undefined
}

/** The options with every default filled in. `interval` and `stalledAfter` are in milliseconds. */
export interface Resolved {
  readonly scope: "process" | "context"
  readonly interval: number
  readonly metrics: boolean
  readonly runtimeMetrics: boolean
  readonly logs: boolean
  readonly required: ReadonlyArray<string>
  readonly stalledAfter: number
}

const check = checkOptions("Operations")

const rule = `be "process" or "context"`

/** The options with every default filled in. It fails with `InvalidOption` on an invalid one. */
export const resolve = (options: Options): Effect.Effect<Resolved, InvalidOption> =>
  refusing(() => {
    const { interval = "5 seconds", logs = true, metrics = true, required = [], runtimeMetrics = true, scope } = options
    check.require(scope === undefined || scope === "process" || scope === "context", "scope", scope, rule)
    return {
      scope: scope ?? "process",
      interval: Math.ceil(check.millis("interval", interval, aboveZero)),
      metrics,
      runtimeMetrics,
      logs,
      required,
      stalledAfter: check.millis("stalledAfter", options.stalledAfter ?? "1 second", aboveZero)
    }
  })
