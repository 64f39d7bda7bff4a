/**
 * A process that runs out of descriptors while its pool keeps idle connections, under a real `ulimit -n`. It prints one line
 * of JSON and ends by itself: nothing of the monitor is closed.
 *
 * Usage: node pressure-child.ts PORT
 */
import { Effect, ManagedRuntime, Scope, Stream } from "effect"
import * as Fs from "node:fs"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"

/** What this process prints. */
export interface PressureReport {
  readonly idleBefore: number
  readonly idleAfter: number
  readonly lent: number
  /** Descriptors in use when the files were open, and when the pool had closed what was idle. */
  readonly usedAtPeak: number
  readonly usedAfter: number
  readonly levels: ReadonlyArray<string>
  readonly alerts: ReadonlyArray<string>
  readonly ran: ReadonlyArray<string>
  readonly results: ReadonlyArray<string>
  /** The longest time for which the event loop was held up, in milliseconds. */
  readonly worstDelay: number
}

const endpoint = Endpoint.tcp("127.0.0.1", Number(process.argv[2]))

const used = Effect.map(
  Effect.flatMap(ResourceMonitor.ResourceMonitor, (monitor) => monitor.usage),
  ({ descriptors }) => descriptors.used._tag === "Known" ? descriptors.used.value : Number.NaN
)

const watchLoop = () => {
  let last = performance.now()
  let worst = 0
  const timer = setInterval(() => {
    const now = performance.now()
    worst = Math.max(worst, now - last - 5)
    last = now
  }, 5)
  return () => {
    clearInterval(timer)
    return worst
  }
}

const program = Effect.gen(function*() {
  const monitor = yield* ResourceMonitor.ResourceMonitor
  const levels: Array<string> = []
  yield* Effect.forkDetach(Stream.runForEach(monitor.levels, (level) => Effect.sync(() => levels.push(level))))
  // A scope that is never closed, like that of a program which simply ends.
  const scope = yield* Scope.make()
  const pool = yield* Scope.provide(
    ConnectionPool.make({ connector: TcpConnection.connector(), maxPerEndpoint: 50, maxTotal: 50 }),
    scope
  )
  const ran: Array<string> = []
  const callback = (name: string, priority: number, run: Effect.Effect<unknown, string>) =>
    Scope.provide(
      monitor.onPressure({
        name,
        priority,
        timeout: "200 millis",
        run: Effect.andThen(Effect.sync(() => ran.push(name)), run)
      }),
      scope
    )
  yield* callback("hangs", 200, Effect.uninterruptible(Effect.never))
  yield* callback("fails", 150, Effect.fail("no"))
  yield* callback("spared", 0, Effect.void)
  const borrow = ConnectionPool.use(pool, endpoint, () => Effect.sleep("200 millis"))
  yield* Effect.all(Array.from({ length: 40 }, () => borrow), { concurrency: "unbounded" })
  const idleBefore = (yield* ConnectionPool.stats(pool)).idle
  yield* Scope.provide(ConnectionPool.get(pool, endpoint), scope)
  const stopWatching = watchLoop()
  const files: Array<number> = []
  while ((yield* used) < 122) files.push(Fs.openSync("/dev/null", "r"))
  const usedAtPeak = yield* used
  for (let left = 800; left > 0 && (yield* ConnectionPool.stats(pool)).idle > 0; left--) {
    yield* Effect.sleep("10 millis")
  }
  yield* Effect.sleep("100 millis")
  const usedAfter = yield* used
  const worstDelay = stopWatching()
  const alerts = (yield* monitor.recentAlerts()).map(({ message }) => message)
  const automatic = [...ran]
  const results = (yield* monitor.cleanup).map(({ _tag, name }) => `${name} ${_tag}`)
  const { active, idle } = yield* ConnectionPool.stats(pool)
  for (const file of files) Fs.closeSync(file)
  const report: PressureReport = {
    idleBefore,
    idleAfter: idle,
    lent: active,
    usedAtPeak,
    usedAfter,
    levels,
    alerts,
    ran: automatic,
    results,
    worstDelay
  }
  console.log(JSON.stringify(report))
  // The one connection that is still lent holds the process; its end is none of the monitor's business.
  yield* ConnectionPool.drain(pool, 0)
})

await ManagedRuntime.make(ResourceMonitor.layerOptions({ maxDescriptors: Infinity })).runPromise(program)
