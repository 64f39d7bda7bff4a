/**
 * What a refusal says of the limit that it met: the option that sets it, and where its value comes from.
 */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Settings from "effect-sluice/Settings"
import { limitsText, type Script, system } from "../support.ts"

const box = "/sys/fs/cgroup"

const boxOf = (limit: string): Record<string, string> => ({
  "/proc/self/cgroup": "0::/\n",
  "/proc/self/mountinfo": "31 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
  [`${box}/memory.current`]: "1000",
  [`${box}/memory.max`]: limit
})

const refused = Effect.flatMap(
  ResourceMonitor,
  (monitor) => Effect.map(Effect.flip(Effect.scoped(monitor.reserve({ label: "db:5432" }))), ({ message }) => message)
)

/** What the monitor of such a system says when it refuses. */
const messageOf = (script: Partial<Script>, options: Monitor.Options = {}) =>
  Effect.provide(refused, Layer.fresh(Monitor.layerOptions(options)).pipe(Layer.provide(system(script).layer)))

describe("a refusal names the option that sets the limit and", () => {
  it.effect("the soft limit of the process, with what stays free of it", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* messageOf({ limits: limitsText("1024"), size: 1003 }),
        "no room to open db:5432: 1000 descriptors used + 0 reserved + 1 requested > limit 1024 - headroom 24 " +
          "(level Exhausted); the limit is the process's soft limit of open files (ulimit -n), from /proc/self/limits: " +
          "raise ulimit -n, or lower headroom"
      )
      assert.include(
        yield* messageOf({ limits: limitsText("512"), size: 512 }, Monitor.conservative),
        "> limit 512 - headroom 24 (level Exhausted); the limit is the process's soft limit of open files (ulimit -n), " +
          "from /proc/self/limits: raise ulimit -n, or lower headroom"
      )
    }))

  it.effect("the file of the container", () =>
    Effect.gen(function*() {
      assert.include(
        yield* messageOf({ files: boxOf("900") }),
        `1000 memory used >= limit 900 bytes (level Exhausted); the limit is the container's, from ${box}/memory.max: ` +
          "raise that limit"
      )
    }))

  it.effect("the variable in which a platform states it", () =>
    Effect.gen(function*() {
      const files = { ...boxOf("max"), [`${box}/memory.current`]: String(2 * 1024 ** 2) }
      assert.include(
        yield* messageOf({ files, environment: { AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "1" } }),
        "; the limit is the container's, from AWS_LAMBDA_FUNCTION_MEMORY_SIZE: raise that limit"
      )
    }))

  it.effect("the options, with the origin that they state", () =>
    Effect.gen(function*() {
      const used = { maxDescriptors: 20, headroom: 0 }
      assert.include(yield* messageOf({}, used), "; the limit is option maxDescriptors of ResourceMonitor: raise it")
      assert.include(
        yield* messageOf({}, { ...used, origins: { maxDescriptors: "limits.json" } }),
        "; the limit is option maxDescriptors of ResourceMonitor, from limits.json"
      )
      assert.include(
        yield* messageOf({}, { maxMemory: 1000, origins: { maxMemory: "limits.json" } }),
        "; the limit is option maxMemory of ResourceMonitor, from limits.json"
      )
    }))

  it.effect("the variable of Settings, or that its default holds", () =>
    Effect.gen(function*() {
      const underSettings = (environment: Record<string, string>, script: Partial<Script>) =>
        Effect.provide(
          refused,
          Settings.layer.pipe(
            Layer.provide([system(script).layer, ConfigProvider.layer(ConfigProvider.fromUnknown(environment))])
          )
        )
      assert.include(
        yield* underSettings({ MAX_FILE_DESCRIPTORS: "50" }, { size: 60 }),
        "; the limit is option maxDescriptors of ResourceMonitor, from MAX_FILE_DESCRIPTORS"
      )
      assert.include(
        yield* underSettings({}, { limits: limitsText("100000"), size: 1100 }),
        "> limit 1000 - headroom 24 (level Exhausted); the limit is option maxDescriptors of ResourceMonitor, from the default " +
          "of MAX_FILE_DESCRIPTORS: raise it, or lower headroom"
      )
      assert.include(
        yield* underSettings({ MAX_MEMORY_MB: "1" }, {}),
        "; the limit is option maxMemory of ResourceMonitor, from MAX_MEMORY_MB"
      )
    }))

  it.effect("says it of connections, and with a failure that is put down to it", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      yield* monitor.reserve({ label: "db:5432" })
      const refusal = yield* Effect.flip(monitor.reserve({ label: "db:5432" }))
      const text = "; the limit is option maxConnections of ResourceMonitor"
      assert.include(refusal.message, text)
      assert.include(refusal.after(new Error("ENOTFOUND")).message, text)
    }).pipe(
      Effect.scoped,
      Effect.provide(Monitor.layerOptions({ maxConnections: 1 }).pipe(Layer.provide(system().layer)))
    ))
})
