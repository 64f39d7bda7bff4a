/**
 * One run, from the first count of descriptors to the last, however it ends.
 */
import type { Endpoint } from "effect-sluice/Endpoint"
import { tcp } from "effect-sluice/Endpoint"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { firstSignal } from "../../src/Cli/ExitStatus.ts"
import { openSpare } from "../../src/Cli/SpareDescriptor.ts"
import { descriptors, observe } from "./CountedConnector.ts"
import * as Display from "./Display.ts"
import * as Load from "./Load.ts"
import * as Report from "./Report.ts"
import type { Account } from "./server/Account.ts"
import { nothing } from "./server/Account.ts"
import type { Server, ServerFailed } from "./ServerProcess.ts"
import * as ServerProcess from "./ServerProcess.ts"
import * as Tally from "./Tally.ts"

/** What to run. */
export interface Options {
  readonly mode: Report.Mode
  readonly requests: number
  readonly fibers: number
  readonly seed: number
  /** A server of the user; without it the demo starts its own. */
  readonly endpoint: Endpoint | undefined
}

/** How a run ended. */
export interface Outcome {
  readonly report: Report.Report
  /** The run was interrupted, and the report covers the part before. */
  readonly interrupted: boolean
}

type Targets = ReadonlyArray<Pick<Tally.Target, "endpoint" | "dead">>

/** Only root can listen on port 1, and nothing does, so a dial is always refused. */
const deadPort = 1

const targetsOf = (options: Options, server: Server | undefined): Targets =>
  options.endpoint === undefined
    ? [
      ...(server?.ports ?? []).map((port) => ({ endpoint: tcp("127.0.0.1", port), dead: false })),
      { endpoint: tcp("127.0.0.1", deadPort), dead: true }
    ]
    : [{ endpoint: options.endpoint, dead: false }]

/** Bounds the load, so that the report comes within 30 seconds even if the server does not answer. */
const longest = Duration.seconds(26)

/** The state of a run, for a report at any time. */
interface Progress {
  server: Server | undefined
  tally: Tally.Tally
}

const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/**
 * Both modes. Loading the client and the pool takes as long as starting the server, so both happen at the same time, after
 * the signal listeners are set up.
 */
const loadWays = Effect.all({
  naive: Effect.promise(() => import("./Naive.ts")),
  pooled: Effect.promise(() => import("./Pooled.ts"))
})

type Ways = Effect.Success<typeof loadWays>

/** Runs the load, then closes its pool and its display. */
const load = (
  options: Options,
  tally: Tally.Tally,
  ways: Ways,
  forgotten: Scope.Scope
): Effect.Effect<void, never, ResourceMonitor> =>
  Effect.gen(function*() {
    const monitor = yield* ResourceMonitor
    const begin = yield* now
    const moment = Effect.gen(function*() {
      yield* observe(tally, monitor)
      return { tally, elapsed: (yield* now) - begin, descriptors: yield* descriptors(monitor) }
    })
    yield* Display.show(moment)
    const requests = yield* Load.plan(tally, options.seed)
    const { fibers } = options
    if (options.mode === "naive") {
      const way = yield* ways.naive.make(tally, forgotten)
      return yield* Load.run({ tally, way, requests, fibers })
    }
    // The pool closes before the display, so that the last frame shows it empty.
    yield* Effect.scoped(Effect.gen(function*() {
      const way = yield* ways.pooled.make(tally)
      yield* Load.run({ tally, way, requests, fibers })
    }))
  }).pipe(Effect.scoped)

const startServer = (options: Options, progress: Progress, scope: Scope.Scope) =>
  options.endpoint === undefined
    ? Effect.map(Scope.provide(ServerProcess.start, scope), (server) => void (progress.server = server))
    : Effect.void

const work = (options: Options, progress: Progress, scope: Scope.Scope, forgotten: Scope.Scope) =>
  Effect.gen(function*() {
    const [ways] = yield* Effect.all([loadWays, startServer(options, progress, scope)], { concurrency: 2 })
    progress.tally = Tally.make(targetsOf(options, progress.server), options.requests)
    yield* load(options, progress.tally, ways, forgotten)
  })

/** A server that was not started has an empty account. The account of one that does not answer is unknown. */
const accountOf = (options: Options, { server }: Progress): Effect.Effect<Account | undefined> =>
  options.endpoint !== undefined
    ? Effect.undefined
    : server === undefined
    ? Effect.succeed(nothing)
    : Effect.map(Effect.option(server.account), Option.getOrUndefined)

/** Makes an effect interruptible inside an uninterruptible region. */
type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Runs the load, closes everything, takes the server's account, ends the server, and counts descriptors again, in this
 * order, also when the load is interrupted. It fails only when there was no run to report.
 *
 * Call it in an uninterruptible region, with its `restore`: only the load is interruptible.
 */
export const run = (
  options: Options,
  restore: Restore
): Effect.Effect<Outcome, ServerFailed, ResourceMonitor> =>
  Effect.gen(function*() {
    const monitor = yield* ResourceMonitor
    yield* openSpare
    const before = yield* descriptors(monitor)
    const begin = yield* now
    const serverScope = yield* Scope.make()
    const forgotten = yield* Scope.make("parallel")
    const progress: Progress = { server: undefined, tally: Tally.make([], options.requests) }
    // The report of a run that ends here shows that it finished fewer requests than planned.
    const bounded = Effect.timeoutOption(work(options, progress, serverScope, forgotten), longest)
    const exit = yield* Effect.exit(restore(bounded))
    const elapsed = (yield* now) - begin
    const interrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    // The naive mode keeps its leaked connections for the account, unless it is interrupted.
    if (interrupted) yield* Scope.close(forgotten, Exit.void)
    const server = yield* accountOf(options, progress)
    yield* Scope.close(forgotten, Exit.void)
    yield* Scope.close(serverScope, Exit.void)
    const after = yield* descriptors(monitor)
    if (Exit.isFailure(exit) && !interrupted) return yield* Effect.failCause(exit.cause)
    const { endpoint, mode } = options
    const { tally } = progress
    const name = interrupted ? firstSignal() ?? "an interruption" : undefined
    const withServer = endpoint === undefined
    const facts = { mode, tally, elapsed, interrupted: name, before, after, withServer, server }
    return { report: Report.make(facts), interrupted }
  }).pipe(Effect.scoped)
