import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Layer } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Settings from "effect-sluice/Settings"
import { TestClock } from "effect/testing"

const read = (env: Record<string, string>) => Settings.config.parse(ConfigProvider.fromUnknown(env))

const brief = (values: Settings.Values) => ({
  endpoint: String(values.endpoint),
  pool: {
    ...values.pool,
    connectTimeout: Duration.toMillis(values.pool.connectTimeout),
    idleTimeout: Duration.toMillis(values.pool.idleTimeout),
    maxLifetime: Duration.toMillis(values.pool.maxLifetime)
  },
  retry: {
    ...values.retry,
    initialDelay: Duration.toMillis(values.retry.initialDelay),
    maxDelay: Duration.toMillis(values.retry.maxDelay)
  },
  monitor: {
    ...values.monitor,
    maintenanceInterval: Duration.toMillis(Duration.fromInputUnsafe(values.monitor.maintenanceInterval ?? 0))
  },
  cleanupInterval: Duration.toMillis(values.cleanupInterval)
})

const defaults = {
  endpoint: "multi-agent-container:9500",
  pool: { maxPerEndpoint: 2, maxTotal: 5, connectTimeout: 10_000, idleTimeout: 60_000, maxLifetime: 300_000 },
  retry: { maxAttempts: 6, initialDelay: 500, maxDelay: 60_000, factor: 1.5, jitter: 0.25 },
  monitor: {
    maxDescriptors: 1000,
    warningThreshold: 0.7,
    errorThreshold: 0.9,
    maxMemory: 1024 * 1024 * 1024,
    maxConnections: 100,
    maintenanceInterval: 30_000
  },
  cleanupInterval: 30_000
}

describe("config", () => {
  it.effect("has the documented default of every variable", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(brief(yield* read({})), defaults)
    }))

  it.effect("reads every variable into its option", () =>
    Effect.gen(function*() {
      const values = yield* read({
        CLAUDE_FLOW_HOST: "Cache.Example.org",
        MCP_TCP_PORT: "1",
        MAX_FILE_DESCRIPTORS: "2000",
        FD_WARNING_THRESHOLD: "0.5",
        FD_ERROR_THRESHOLD: "1",
        MAX_MEMORY_MB: "2",
        MAX_TCP_CONNECTIONS: "3",
        CLEANUP_INTERVAL_SECS: "4",
        MAX_CONNECTIONS_PER_ENDPOINT: "6",
        MAX_TOTAL_CONNECTIONS: "7",
        CONNECTION_TIMEOUT_SECS: "0.8",
        IDLE_TIMEOUT_SECS: "9",
        MAX_CONNECTION_LIFETIME_SECS: " 10\n",
        RETRY_MAX_ATTEMPTS: "11",
        RETRY_INITIAL_DELAY_MS: "12",
        RETRY_MAX_DELAY_SECS: "13",
        RETRY_BACKOFF_MULTIPLIER: "1.4",
        RETRY_JITTER_FACTOR: "0"
      })
      assert.deepStrictEqual(brief(values), {
        endpoint: "cache.example.org:1",
        pool: { maxPerEndpoint: 6, maxTotal: 7, connectTimeout: 800, idleTimeout: 9000, maxLifetime: 10_000 },
        retry: { maxAttempts: 11, initialDelay: 12, maxDelay: 13_000, factor: 1.4, jitter: 0 },
        monitor: {
          maxDescriptors: 2000,
          warningThreshold: 0.5,
          errorThreshold: 1,
          maxMemory: 2 * 1024 * 1024,
          maxConnections: 3,
          maintenanceInterval: 4000
        },
        cleanupInterval: 4000
      })
    }))

  it.effect("takes a variable that is set to nothing as not set", () =>
    Effect.gen(function*() {
      const provider = ConfigProvider.fromEnvRecord({ MAX_TOTAL_CONNECTIONS: "", CLAUDE_FLOW_HOST: "" })
      assert.deepStrictEqual(brief(yield* Settings.config.parse(provider)), defaults)
    }))

  const port = "a whole number from 1 to 65535"
  const count = "a whole number from 1 to 1000000000"
  const seconds = "a number from 0.001 to 1000000000"
  const tooShort = "0.0000000000000001"
  const tooLong = "9".repeat(400)
  const fraction = "a number above 0 and at most 1"
  const nonsense: Record<string, readonly [rule: string, ...values: Array<string>]> = {
    MCP_TCP_PORT: [port, "0", "70000", "abc", "80.5", "-1", "0x50", "1e3", " "],
    MAX_FILE_DESCRIPTORS: [count, "0", "-5", "abc", "Infinity", "1.5"],
    FD_WARNING_THRESHOLD: [fraction, "0", "70", "abc", "-0.1", "NaN"],
    FD_ERROR_THRESHOLD: [fraction, "0", "90", "abc"],
    MAX_MEMORY_MB: [count, "0", "abc", "-1", "9007199254740993", tooLong],
    MAX_TCP_CONNECTIONS: [count, "0", "abc", "-1"],
    CLEANUP_INTERVAL_SECS: [seconds, tooShort, tooLong, "0", "abc", "-30", "30s"],
    MAX_CONNECTIONS_PER_ENDPOINT: [count, "0", "-2", "abc", "2.5"],
    MAX_TOTAL_CONNECTIONS: [count, "0", "-5", "abc"],
    CONNECTION_TIMEOUT_SECS: [seconds, tooShort, tooLong, "0", "-10", "abc"],
    IDLE_TIMEOUT_SECS: [seconds, tooShort, tooLong, "0", "-1", "abc"],
    MAX_CONNECTION_LIFETIME_SECS: [seconds, tooShort, tooLong, "0", "-1", "abc"],
    RETRY_MAX_ATTEMPTS: [count, "0", "-1", "1.5", "abc"],
    RETRY_INITIAL_DELAY_MS: ["a number from 1 to 1000000000", "0", "-1", "abc", "0.999", tooLong],
    RETRY_MAX_DELAY_SECS: [seconds, tooShort, tooLong, "0", "-1", "abc"],
    RETRY_BACKOFF_MULTIPLIER: ["a number from 1 to 1000000", "0.9", "-2", "abc", tooLong],
    RETRY_JITTER_FACTOR: ["a number from 0 to 1", "2", "-0.1", "abc", "full"]
  }
  for (const [name, [rule, ...values]] of Object.entries(nonsense)) {
    it.effect(`refuses nonsense in ${name}, with the name, the value and the rule`, () =>
      Effect.gen(function*() {
        for (const value of values) {
          const error = yield* Effect.flip(read({ [name]: value }))
          assert.strictEqual(
            error.message,
            `SchemaError(${name} is ${JSON.stringify(value)}, but it must be ${rule})`
          )
        }
      }))
  }

  const contradictions: ReadonlyArray<readonly [Record<string, string>, string]> = [
    [
      { FD_WARNING_THRESHOLD: "0.95" },
      "FD_WARNING_THRESHOLD is \"0.95\", but it must be at most FD_ERROR_THRESHOLD, which is 0.9 (the default)"
    ],
    [
      { FD_ERROR_THRESHOLD: "0.5" },
      "FD_WARNING_THRESHOLD is 0.7 (the default), but it must be at most FD_ERROR_THRESHOLD, which is \"0.5\""
    ],
    [
      { MAX_CONNECTIONS_PER_ENDPOINT: "10", MAX_TOTAL_CONNECTIONS: "5" },
      "MAX_CONNECTIONS_PER_ENDPOINT is \"10\", but it must be at most MAX_TOTAL_CONNECTIONS, which is \"5\""
    ],
    [
      { RETRY_INITIAL_DELAY_MS: "61000" },
      "RETRY_INITIAL_DELAY_MS is \"61000\", but it must be at most RETRY_MAX_DELAY_SECS, which is 60 (the default)"
    ]
  ]
  for (const [env, message] of contradictions) {
    it.effect(`refuses a contradiction: ${message}`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(read(env))).message, `SchemaError(${message})`)
      }))
  }

  it.effect("refuses a host that is none, with the name, the value and the rule", () =>
    Effect.gen(function*() {
      for (const host of ["a b", "[::1]", "host:1"]) {
        const { message } = yield* Effect.flip(read({ CLAUDE_FLOW_HOST: host }))
        assert.include(
          message,
          `CLAUDE_FLOW_HOST is ${JSON.stringify(host)}, but it must be a domain name or an IP address without brackets`
        )
      }
      assert.strictEqual(String((yield* read({ CLAUDE_FLOW_HOST: "::1" })).endpoint), "[::1]:9500")
    }))

  it.effect("takes the shortest and the longest time, which every module takes too", () =>
    Effect.gen(function*() {
      const shortest = yield* read({ CONNECTION_TIMEOUT_SECS: "0.001", CLEANUP_INTERVAL_SECS: "0.001" })
      assert.strictEqual(Duration.toMillis(shortest.pool.connectTimeout), 1)
      assert.strictEqual(Duration.toMillis(shortest.cleanupInterval), 1)
      const longest = yield* read({ IDLE_TIMEOUT_SECS: "1000000000" })
      assert.strictEqual(Duration.toMillis(longest.pool.idleTimeout), 1e12)
    }))

  it.effect("takes a host with blanks around it, as a number with them", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* read({ CLAUDE_FLOW_HOST: " localhost\n", MCP_TCP_PORT: " 80 " })
      assert.strictEqual(String(endpoint), "localhost:80")
      assert.include((yield* Effect.flip(read({ CLAUDE_FLOW_HOST: "  " }))).message, "CLAUDE_FLOW_HOST is \"  \"")
    }))

  it.effect("yields the retry policy of a TCP connect by default", () =>
    Effect.gen(function*() {
      const { retry } = yield* read({})
      const { factor, initialDelay, jitter, maxAttempts, maxDelay } = RetryPolicy.tcpConnection
      assert.deepStrictEqual(retry, { maxAttempts, initialDelay, maxDelay, factor, jitter })
    }))
})

describe("endpoint", () => {
  const at = (text: string) => Settings.endpoint("CACHE").parse(ConfigProvider.fromUnknown({ CACHE: text }))

  it.effect("takes every form of an endpoint", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* at("localhost:9500"), Endpoint.tcp("localhost", 9500))
      assert.deepStrictEqual(yield* at(" [::1]:6379\n"), Endpoint.tcp("::1", 6379))
      assert.deepStrictEqual(yield* at("/run/cache.sock"), Endpoint.unix("/run/cache.sock"))
    }))

  it.effect("names the variable, the value and the rule", () =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(at("localhost:70000"))
      assert.include(message, "CACHE is \"localhost:70000\", but it must name an endpoint")
      assert.include(message, "a whole number from 1 to 65535")
    }))

  it.effect("is absent when the variable is, so that a default applies", () =>
    Effect.gen(function*() {
      const fallback = Endpoint.tcp("localhost", 1)
      const config = Config.withDefault(Settings.endpoint("CACHE"), fallback)
      assert.deepStrictEqual(yield* config.parse(ConfigProvider.fromUnknown({})), fallback)
    }))
})

describe("layer", () => {
  const withEnv = (env: Record<string, string>) =>
    Layer.fresh(Settings.layer).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env))))

  it.effect("provides the settings and a monitor that keeps to them", () =>
    Effect.gen(function*() {
      const { monitor } = yield* Settings.Settings
      assert.strictEqual(monitor.maxConnections, 7)
      const { usage } = yield* ResourceMonitor
      assert.deepInclude((yield* usage).connections.limit, { value: 7 })
    }).pipe(Effect.provide(withEnv({ MAX_TCP_CONNECTIONS: "7" }))))

  it.effect("has maintenance run as often as CLEANUP_INTERVAL_SECS says", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      let rounds = 0
      yield* monitor.onPressure({ periodic: true, run: Effect.sync(() => rounds++) })
      for (let i = 0; i < 30; i++) yield* Effect.andThen(TestClock.adjust("500 millis"), Effect.yieldNow)
      assert.strictEqual(rounds, 3)
    }).pipe(Effect.scoped, Effect.provide(withEnv({ CLEANUP_INTERVAL_SECS: "4" }))))

  it.effect("fails at start-up when a variable makes no sense", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(withEnv({ MAX_TCP_CONNECTIONS: "many" })))
      assert.include(error.message, "MAX_TCP_CONNECTIONS is \"many\"")
    }))
})
