/**
 * The options of every layer, read from the environment and checked before anything is opened: one set of variables for a program with
 * one pool. Each layer reads other variables with its `layerConfig`, and policies, budgets and breakers with `makeConfig`.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type { Options as MonitorOptions } from "../Monitor/ResourceMonitor.ts"
import * as ResourceMonitor from "../Monitor/ResourceMonitor.ts"
import * as Endpoint from "../Resource/Endpoint.ts"
import { count, fraction, invalid, type Rule, type Variable, variable, whole } from "./internal/Variable.ts"

/**
 * The result of {@link config}. Each group has the option names of its module.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Values {
  /** The JSON-RPC (MCP) server. */
  readonly endpoint: Endpoint.TcpEndpoint
  /** For `ConnectionPool.make`. */
  readonly pool: {
    readonly maxPerEndpoint: number
    readonly maxTotal: number
    readonly connectTimeout: Duration.Duration
    readonly idleTimeout: Duration.Duration
    readonly maxLifetime: Duration.Duration
  }
  /** For `RetryPolicy.make`. */
  readonly retry: {
    readonly maxAttempts: number
    readonly initialDelay: Duration.Duration
    readonly maxDelay: Duration.Duration
    readonly factor: number
    readonly jitter: number
  }
  /** For `ResourceMonitor.layerOptions`. */
  readonly monitor: MonitorOptions
  /** How often maintenance is done. The monitor gets it as `maintenanceInterval`. */
  readonly cleanupInterval: Duration.Duration
}

/**
 * The values as a service, provided by {@link layer}.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export class Settings extends Context.Service<Settings, Values>()("effect-sluice/Settings/Settings") {}

const between = (min: number, max: number): Rule => ({
  holds: (value) => value >= min && value <= max,
  text: `a number from ${min} to ${max}`
})

// The minimum is the resolution of timers, and a time of more than thirty years is a typing error.
const seconds = between(0.001, 1_000_000_000)

const milliseconds = between(1, 1_000_000_000)

// Either value may be the mistake, so the message shows both.
const requireAtMost = (
  small: Variable<number>,
  large: Variable<number>,
  unit: { readonly small: number; readonly large: number } = { small: 1, large: 1 }
): Effect.Effect<void, Config.ConfigError> =>
  small.value * unit.small <= large.value * unit.large
    ? Effect.void
    : Effect.fail(invalid(small, `be at most ${large.name}, which is ${large.shown}`))

const tcpEndpoint = pipe(
  Config.all({
    host: Config.withDefault(Config.String("CLAUDE_FLOW_HOST"), "multi-agent-container"),
    port: variable("MCP_TCP_PORT", 9500, whole(1, 65535))
  }),
  Config.mapEffect(({ host, port }) =>
    Effect.try({
      try: () => Endpoint.tcp(host.trim(), port.value),
      catch: (error) =>
        invalid(
          { name: "CLAUDE_FLOW_HOST", shown: JSON.stringify(host) },
          `be a domain name or an IP address without brackets (${String(error)})`
        )
    })
  )
)

const pool = pipe(
  Config.all({
    perEndpoint: variable("MAX_CONNECTIONS_PER_ENDPOINT", 2, count),
    total: variable("MAX_TOTAL_CONNECTIONS", 5, count),
    connect: variable("CONNECTION_TIMEOUT_SECS", 10, seconds),
    idle: variable("IDLE_TIMEOUT_SECS", 60, seconds),
    lifetime: variable("MAX_CONNECTION_LIFETIME_SECS", 300, seconds)
  }),
  Config.mapEffect((read) =>
    Effect.as(requireAtMost(read.perEndpoint, read.total), {
      maxPerEndpoint: read.perEndpoint.value,
      maxTotal: read.total.value,
      connectTimeout: Duration.seconds(read.connect.value),
      idleTimeout: Duration.seconds(read.idle.value),
      maxLifetime: Duration.seconds(read.lifetime.value)
    })
  )
)

const retry = pipe(
  Config.all({
    attempts: variable("RETRY_MAX_ATTEMPTS", 6, count),
    initial: variable("RETRY_INITIAL_DELAY_MS", 500, milliseconds),
    max: variable("RETRY_MAX_DELAY_SECS", 60, seconds),
    factor: variable("RETRY_BACKOFF_MULTIPLIER", 1.5, between(1, 1_000_000)),
    jitter: variable("RETRY_JITTER_FACTOR", 0.25, between(0, 1))
  }),
  Config.mapEffect((read) =>
    Effect.as(requireAtMost(read.initial, read.max, { small: 1, large: 1000 }), {
      maxAttempts: read.attempts.value,
      initialDelay: Duration.millis(read.initial.value),
      maxDelay: Duration.seconds(read.max.value),
      factor: read.factor.value,
      jitter: read.jitter.value
    })
  )
)

const { conservative } = ResourceMonitor

const mebibyte = 1024 * 1024

const cleanupInterval = Config.map(
  variable("CLEANUP_INTERVAL_SECS", 30, seconds),
  ({ value }) => Duration.seconds(value)
)

/** The origin of a limit in the monitor's errors. */
const originOf = ({ isDefault, name }: Variable<number>): string => isDefault ? `the default of ${name}` : name

const monitor = pipe(
  Config.all({
    descriptors: variable("MAX_FILE_DESCRIPTORS", conservative.maxDescriptors, count),
    warning: variable("FD_WARNING_THRESHOLD", conservative.warningThreshold, fraction),
    error: variable("FD_ERROR_THRESHOLD", conservative.errorThreshold, fraction),
    memory: variable("MAX_MEMORY_MB", conservative.maxMemory / mebibyte, count),
    connections: variable("MAX_TCP_CONNECTIONS", conservative.maxConnections, count),
    interval: cleanupInterval
  }),
  Config.mapEffect((read) =>
    Effect.as(requireAtMost(read.warning, read.error), {
      options: {
        maxDescriptors: read.descriptors.value,
        warningThreshold: read.warning.value,
        errorThreshold: read.error.value,
        maxMemory: read.memory.value * mebibyte,
        maxConnections: read.connections.value,
        maintenanceInterval: read.interval
      },
      origins: {
        maxDescriptors: originOf(read.descriptors),
        maxMemory: originOf(read.memory),
        maxConnections: originOf(read.connections)
      }
    })
  )
)

const everything = Config.all({
  endpoint: tcpEndpoint,
  pool,
  retry,
  monitor,
  cleanupInterval
})

/**
 * Reads every variable of the environment that the library knows.
 *
 * **Details**
 *
 * | variable | default |
 * |---|---|
 * | `CLAUDE_FLOW_HOST`, `MCP_TCP_PORT` | `multi-agent-container`, 9500 |
 * | `MAX_FILE_DESCRIPTORS` (the process's soft limit holds as well) | 1000 |
 * | `FD_WARNING_THRESHOLD`, `FD_ERROR_THRESHOLD` | 0.7, 0.9 |
 * | `MAX_MEMORY_MB` (MiB), `MAX_TCP_CONNECTIONS` | 1024, 100 |
 * | `CLEANUP_INTERVAL_SECS` | 30 |
 * | `MAX_CONNECTIONS_PER_ENDPOINT`, `MAX_TOTAL_CONNECTIONS` | 2, 5 |
 * | `CONNECTION_TIMEOUT_SECS`, `IDLE_TIMEOUT_SECS`, `MAX_CONNECTION_LIFETIME_SECS` | 10, 60, 300 |
 * | `RETRY_MAX_ATTEMPTS`, `RETRY_INITIAL_DELAY_MS`, `RETRY_MAX_DELAY_SECS` | 6, 500, 60 |
 * | `RETRY_BACKOFF_MULTIPLIER`, `RETRY_JITTER_FACTOR` | 1.5, 0.25 |
 *
 * Numbers are plain decimals. Times are from 0.001 to 1000000000 seconds, or from 1 to 1000000000 milliseconds; blanks around a
 * value do not count. An invalid value fails with a `ConfigError` whose message names the variable, the value and the rule. If
 * two variables contradict each other, the message names both.
 *
 * **Gotchas**
 *
 * A variable that is set to the empty string counts as not set.
 *
 * **Example** (Reading a record instead of the environment)
 *
 * ```ts
 * import { ConfigProvider, Effect } from "effect"
 * import * as Settings from "effect-sluice/Settings"
 *
 * const read = (env: Record<string, string>) =>
 *   Settings.config.parse(ConfigProvider.fromUnknown(env))
 *
 * const program = Effect.gen(function*() {
 *   const { pool } = yield* read({ MAX_TOTAL_CONNECTIONS: "20" })
 *   const error = yield* Effect.flip(read({ MCP_TCP_PORT: "70000" }))
 *   return [pool.maxTotal, error.message]
 * })
 *
 * await Effect.runPromise(program) // => [20, "SchemaError(MCP_TCP_PORT is \"70000\", but it must be a whole number from 1 to 65535)"]
 * ```
 *
 * @category configs
 * @since 0.1.0
 * @stability stable
 */
export const config: Config.Config<Values> = Config.map(everything, ({ monitor, ...others }) => ({
  ...others,
  monitor: monitor.options
}))

/**
 * Reads an endpoint from the variable `name`, in any form that `Endpoint.parse` takes. It has no default; add one with
 * `Config.withDefault`.
 *
 * **Example** (An endpoint of one's own)
 *
 * ```ts
 * import { ConfigProvider, Effect } from "effect"
 * import * as Settings from "effect-sluice/Settings"
 *
 * const program = Settings.endpoint("CACHE").parse(ConfigProvider.fromUnknown({ CACHE: "[::1]:6379" }))
 *
 * await Effect.runPromise(Effect.map(program, String)) // => "[::1]:6379"
 * ```
 *
 * @category configs
 * @since 0.1.0
 * @stability stable
 */
export const endpoint = (name: string): Config.Config<Endpoint.Endpoint> =>
  Config.mapEffect(Config.String(name), (text) =>
    Result.match(Endpoint.parseResult(text.trim()), {
      onSuccess: (endpoint) => Effect.succeed(endpoint),
      onFailure: (error) =>
        Effect.fail(invalid({ name, shown: JSON.stringify(text) }, `name an endpoint (${error.message})`))
    }))

/**
 * Provides the monitor and the {@link Settings} from the environment.
 *
 * **Details**
 *
 * It fails at start-up with a `ConfigError` when a variable is invalid.
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layer: Layer.Layer<
  Settings | ResourceMonitor.ResourceMonitor,
  Config.ConfigError
> = Layer.unwrap(
  Effect.map(everything, ({ monitor: { options, origins }, ...others }) =>
    Layer.merge(
      Layer.succeed(Settings, { ...others, monitor: options }),
      ResourceMonitor.layerOptions({ ...options, origins })
    ))
)
