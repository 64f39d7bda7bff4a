/**
 * A process under `ulimit -n` that opens connections through the library. It prints one line of JSON.
 *
 * Usage: node exhaustion-child.ts burst PORT gated|direct|ungated HOST [interrupt] | used-up PORT | masked PORT |
 *   victim PORT gated|ungated | alone PORT
 */
import { Context, Data, Duration, Effect, Exit, Fiber, Schedule, Scope } from "effect"
import * as Dns from "node:dns/promises"
import * as Fs from "node:fs"
import * as Monitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"
import * as Failure from "../../src/Retry/Failure.ts"
import * as RetryPolicy from "../../src/Retry/RetryPolicy.ts"
import { burst as figures } from "../support/Figures.ts"

const [mode, port, gate, host = "127.0.0.1", interrupt] = process.argv.slice(2)

let uncaught = 0
process.on("uncaughtException", () => uncaught++)
process.on("unhandledRejection", () => uncaught++)

const endpoint = Endpoint.tcp(host, Number(port))

const nextTurn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error : undefined

/** The error and what it wraps, from the outside in. */
const chainOf = (error: unknown): ReadonlyArray<Record<string, unknown>> => {
  const chain: Array<Record<string, unknown>> = []
  let node = error as Record<string, unknown> | undefined
  while (typeof node === "object" && node !== null && chain.length < 9) {
    chain.push(node)
    node = (node["reason"] ?? node["cause"]) as typeof node
  }
  return chain
}

const meets = (error: unknown, code: string): boolean =>
  chainOf(error).some((node) =>
    node["code"] === code ||
    (node["errors"] as ReadonlyArray<{ code?: string }> | undefined)?.some((e) => e.code === code)
  )

class Met extends Data.TaggedError("Met")<{ readonly cause: unknown }> {
  override get message(): string {
    return String(this.cause)
  }
}

/** Opens files until the system says no. */
const fill = () => {
  const files: Array<number> = []
  for (;;) {
    try {
      files.push(Fs.openSync("/dev/null", "r"))
    } catch (error) {
      return { files, code: (error as NodeJS.ErrnoException).code }
    }
  }
}

const close = (files: Array<number>, count = files.length) =>
  files.splice(0, count).forEach((file) => Fs.closeSync(file))

/** What it is when no monitor is there, whatever the program has. */
const ungated = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  // The monitor is no requirement of what only asks whether there is one.
  Effect.updateContext(effect, (context: Context.Context<R>) =>
    Context.omit(Monitor.ResourceMonitor)(context) as Context.Context<R>)

/** Many connects in one tick, and more of those that are made without a thought of the gate. Each scope is kept open until the end, so that what is connected stays so. */
const burst = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  const outcomes = { connected: 0, refused: 0, emfile: 0, interrupted: 0, other: new Array<string>() }
  const scope = yield* Effect.scope
  const fork = Effect.runForkWith(yield* Effect.context<Monitor.ResourceMonitor>())
  let ticks = 0
  setImmediate(() => ticks++)
  const gated = Effect.flatMap(
    monitor.reserve({ label: String(endpoint) }),
    (claim) => Effect.provideService(TcpConnection.connect(endpoint), Monitor.CurrentReservation, claim)
  )
  const direct = TcpConnection.connect(endpoint)
  const connect = gate === "gated" ? gated : gate === "direct" ? direct : ungated(direct)
  const attempt = Effect.flatMap(Scope.fork(scope), (own) =>
    Effect.onExit(
      Scope.provide(connect, own),
      (exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(own, exit)
    ))
  const fibers = Array.from({ length: gate === "direct" ? 700 : figures.connects }, () => fork(attempt))
  const inOneTick = ticks === 0
  const atOnce = yield* monitor.usage
  if (interrupt === "interrupt") fibers.filter((_, i) => i % 2 === 0).forEach((fiber) => fiber.interruptUnsafe())
  for (const fiber of fibers) {
    const exit = yield* Fiber.await(fiber)
    const error = errorOf(exit)
    if (Exit.isSuccess(exit)) outcomes.connected++
    else if (Exit.hasInterrupts(exit)) outcomes.interrupted++
    else if (meets(error, "EMFILE") || meets(error, "ENFILE")) outcomes.emfile++
    else if (chainOf(error).some((node) => node["_tag"] === "ResourceExhausted")) outcomes.refused++
    else outcomes.other.push(String(exit.cause))
  }
  return { inOneTick, atOnce, open: yield* monitor.sample, outcomes }
})

const inScope = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Monitor.ResourceMonitor>) =>
  Effect.gen(function*() {
    const report = yield* Effect.scoped(effect)
    yield* Effect.sleep("50 millis")
    const after = yield* Effect.flatMap(Monitor.ResourceMonitor, (monitor) => monitor.sample)
    return { ...report, after, uncaught }
  })

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** All descriptors are used; then 20 are closed. */
const usedUp = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector(), maxPerEndpoint: 1, maxTotal: 1 })
  // Once before, so that everything is loaded: a module cannot be read when nothing is left.
  yield* ConnectionPool.use(pool, endpoint, () => Effect.void)
  yield* ConnectionPool.evict(pool)
  yield* Effect.sleep("50 millis")
  const table = Fs.openSync("/proc/self/fd", "r")
  const { code, files } = fill()
  const full = yield* monitor.sample
  // The kernel's own count, or that of the numbers below the limit where the kernel gives none.
  const counted = Fs.fstatSync(table).size || 64
  Fs.closeSync(table)
  files.push(Fs.openSync("/dev/null", "r"))
  const times: Array<number> = []
  let refusal: Monitor.ResourceExhausted | undefined
  for (let i = 0; i < 300; i++) {
    const start = process.hrtime.bigint()
    refusal = yield* Effect.flip(Effect.scoped(monitor.reserve({ label: String(endpoint) })))
    times.push(Number(process.hrtime.bigint() - start) / 1000)
  }
  const connectedAt: Record<string, number> = {}
  const note = (name: string) => Effect.sync(() => void (connectedAt[name] = performance.now()))
  const reserving = Effect.scoped(Effect.gen(function*() {
    yield* monitor.reserve({ label: String(endpoint), maxWait: "10 seconds" })
    yield* TcpConnection.connect(endpoint)
    yield* note("reserve")
  }))
  const fibers = [
    yield* Effect.forkChild(ConnectionPool.use(pool, endpoint, () => note("pool")), { startImmediately: true }),
    yield* Effect.forkChild(reserving, { startImmediately: true })
  ]
  yield* Effect.sleep("300 millis")
  const early = Object.keys(connectedAt)
  close(files, 20)
  const closedAt = performance.now()
  const exits = yield* Fiber.awaitAll(fibers)
  const waited = Object.fromEntries(Object.entries(connectedAt).map(([name, at]) => [name, at - closedAt]))
  close(files)
  return {
    code,
    full,
    counted,
    refusal: refusal?.message,
    medianMicros: median(times),
    maxMicros: Math.max(...times.slice(1)),
    early,
    exits: exits.map((exit) => Exit.isSuccess(exit) ? "Success" : String(exit.cause)),
    waited
  }
})

/** What an attempt meets whose host uses up its descriptors meanwhile. */
const masked = Effect.gen(function*() {
  const held: Array<number> = []
  const starving = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      held.push(...fill().files)
      return effect
    })
  const met = (cause: unknown) => new Met({ cause })
  const resolve = starving(Effect.tryPromise({ try: () => Dns.resolve4("localhost"), catch: met }))
  const lookup = starving(Effect.tryPromise({ try: () => Dns.lookup("localhost"), catch: met }))
  const policy = RetryPolicy.make({ deadline: "300 millis", maxAttempts: 1 })
  const retried = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.gen(function*() {
      const raw = yield* Effect.flip(effect)
      close(held)
      const error = yield* Effect.flip(RetryPolicy.retry(effect, policy, { label: "db" }))
      close(held)
      return {
        code: chainOf(raw).at(-1)?.["code"],
        plain: Failure.classify(raw).class,
        reason: error.reason._tag,
        class: Failure.classify(error).class,
        codes: chainOf(error).map((node) => node["code"]).filter((code) => code !== undefined),
        message: error.message
      }
    })
  const resolved = yield* retried(resolve)
  const looked = yield* retried(lookup)
  held.push(...fill().files)
  const named = Endpoint.tcp("localhost", Number(port))
  // It has passed the gate before the descriptors ran out.
  const claim: Monitor.Reservation = { descriptorOpened: () => () => {} }
  const direct = yield* Effect.flip(
    Effect.scoped(Effect.provideService(TcpConnection.connect(named), Monitor.CurrentReservation, claim))
  )
  const chain = chainOf(direct)
  close(held)
  const again = yield* Effect.exit(Effect.scoped(TcpConnection.connect(named)))
  return {
    resolved,
    looked,
    direct: {
      class: Failure.classify(direct).class,
      tags: chain.map((node) => node["_tag"] ?? node["code"]),
      message: direct.message
    },
    again: again._tag
  }
})

/** Somebody else in this process opens and closes files all the while, and must never be refused one for our sake. */
const victim = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  let opened = 0
  let failed = 0
  const openSome = Effect.sync(() => {
    const files: Array<number> = []
    try {
      for (let i = 0; i < 8; i++) files.push(Fs.openSync("/dev/null", "r"))
      opened += files.length
    } catch {
      failed++
    }
    return files
  })
  yield* Effect.forkScoped(
    Effect.acquireUseRelease(openSome, () => nextTurn, (files) => Effect.sync(() => close(files))).pipe(
      Effect.repeat(Schedule.forever)
    ),
    { startImmediately: true }
  )
  const policy = RetryPolicy.make({ deadline: "500 millis", initialDelay: "10 millis" })
  const connect: Effect.Effect<
    unknown,
    RetryPolicy.RetryError<TcpConnection.TcpConnectionError> | TcpConnection.TcpConnectionError,
    Monitor.ResourceMonitor | Scope.Scope
  > = gate === "gated"
    ? RetryPolicy.retry(TcpConnection.connect(endpoint), policy)
    : Effect.retry(
      ungated(TcpConnection.connect(endpoint)),
      Schedule.upTo(Schedule.spaced("10 millis"), { duration: "500 millis" })
    )
  const exits = yield* Effect.forEach(
    Array.from({ length: 500 }, (_, i) => i),
    (i) => Effect.exit(Effect.scoped(Effect.andThen(connect, Effect.sleep(20 + i % 50)))),
    { concurrency: "unbounded" }
  )
  const errors = exits.filter(Exit.isFailure).map(errorOf)
  return {
    opened,
    failed,
    connected: exits.filter(Exit.isSuccess).length,
    emfile: errors.filter((error) => meets(error, "EMFILE")).length,
    tags: [...new Set(errors.map((error) => chainOf(error).map((node) => node["_tag"]).slice(0, 2).join(" ")))],
    reserved: (yield* monitor.usage).reserved
  }
})

/** Nothing but a request that waits, in a process that has nothing else to do. */
const alone = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  const { files } = fill()
  const refused = yield* Effect.flip(monitor.reserve({ label: "x", maxWait: "350 millis" }))
  close(files)
  return { waited: Duration.toMillis(refused.waited) }
})

const programs: Record<string, Effect.Effect<object, never, Monitor.ResourceMonitor>> = {
  burst: inScope(Effect.orDie(burst)),
  "used-up": inScope(Effect.orDie(usedUp)),
  masked: inScope(Effect.orDie(masked)),
  victim: inScope(Effect.orDie(victim)),
  alone: inScope(Effect.orDie(alone))
}

const program = programs[mode ?? ""] ?? Effect.die(new Error(`no such mode: ${mode}`))
// Whether the process ends by itself after this is seen by whoever started it.
console.log(JSON.stringify(
  await Effect.runPromise(program.pipe(Effect.provide(Monitor.layerOptions({ maxConnections: 1000 }))))
))
