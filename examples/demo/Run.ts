/**
 * One run: starts the processes, records what they say, and ends them.
 */
import type { Endpoint } from "effect-sluice/Endpoint"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"
import type { Database } from "./contenders/Contender.ts"
import type { Limits } from "./contenders/Limits.ts"
import type { ContenderId } from "./Messages.ts"
import type { Plan } from "./Plan.ts"
import * as Recording from "./Recording.ts"

/** What to run. */
export interface Options {
  readonly plan: Plan
  readonly contenders: ReadonlyArray<ContenderId>
  readonly limits: Limits
  /** A server of the user; without it the demo starts its own. */
  readonly upstream?: Upstream | undefined
}

/** A database behind the proxies. */
export interface Upstream {
  readonly endpoint: Endpoint
  readonly database: Database
}

/** A run under way. */
export interface Running {
  readonly recording: Recording.Recording
  /** Milliseconds since the start of the plan; below 0 during the warm-up. */
  readonly elapsed: () => number
  /** Succeeds when the load has ended, and everything is closed. */
  readonly ended: Effect.Effect<void, Child.ChildFailed>
}

const now = (): number => performance.timeOrigin + performance.now()

/** Time for the last messages before the load to arrive. */
const headStart = 100

/** The longest time for the servers to see what the contenders have closed. */
const settling = "3 seconds"

/** The longest time that a contender has to close everything. */
const closingTime = "5 seconds"

/** A contender, and the server that is its own. */
interface Pair {
  readonly server: Child.Child
  readonly contender: Child.Child
  readonly port: number
}

const startPair = (id: ContenderId, { limits, upstream }: Options) =>
  Effect.gen(function*() {
    const server = yield* Child.start(`the server of ${id}`, "backend/main.ts", { upstream: upstream?.endpoint })
    // The child loads its modules while its server starts.
    const contender = yield* Child.start(id, "contenders/main.ts", { id })
    const port = yield* Child.ready(server)
    yield* contender.send({ host: "127.0.0.1", port, limits, database: upstream?.database })
    return { server, contender, port: yield* Child.ready(contender) }
  })

/** Records what a contender says. It ends when the contender has closed everything. */
const follow = (
  child: Child.Child,
  track: Recording.Track,
  elapsed: () => number
): Effect.Effect<void, Child.ChildFailed> =>
  Effect.gen(function*() {
    for (;;) {
      const message = yield* child.next
      if (message._tag === "Process") {
        const { cpu, descriptors } = message
        track.process.push({ at: elapsed(), descriptors, cpu })
      } else if (message._tag === "Closed") {
        const { after, before, held } = message
        track.closing = { before, after, held }
        return
      }
    }
  })

const followServer = (child: Child.Child, track: Recording.Track, elapsed: () => number) =>
  Effect.forever(Effect.map(child.next, (message) => {
    if (message._tag !== "Connections") return
    const { accepted, open } = message
    track.connections.push({ at: elapsed(), open, accepted })
  }))

const followLoad = (child: Child.Child, recording: Recording.Recording): Effect.Effect<void, Child.ChildFailed> =>
  Effect.gen(function*() {
    for (;;) {
      const message = yield* child.next
      if (message._tag === "Outcomes") Recording.outcomes(recording, message.outcomes)
      else if (message._tag === "Done") {
        recording.late = message.late
        return
      }
    }
  })

const close = (child: Child.Child, following: Fiber.Fiber<void, Child.ChildFailed>) =>
  child.send({ _tag: "Close" }).pipe(
    Effect.andThen(Fiber.join(following)),
    // The descriptors of a contender that does not end are unknown, and the report says so.
    Effect.timeoutOption(closingTime)
  )

/** Follows a pair. Its first effect never succeeds; its second one closes the contender. */
const followPair = ({ contender, server }: Pair, track: Recording.Track, elapsed: () => number) =>
  Effect.gen(function*() {
    const watching = yield* Effect.forkScoped(followServer(server, track, elapsed))
    const following = yield* Effect.forkScoped(follow(contender, track, elapsed))
    return { watching: Fiber.join(watching), closing: close(contender, following) }
  })

/** Fails if a contender has not answered its first requests. */
const warmUp = (load: Child.Child, pairs: ReadonlyArray<Pair>): Effect.Effect<void, Child.ChildFailed> =>
  Effect.gen(function*() {
    yield* load.send({ ports: pairs.map(({ port }) => port) })
    const message = yield* load.next
    const failures = message._tag === "Warm" ? message.failures : ["unknown"]
    const index = failures.findIndex((failure) => failure !== null)
    if (index < 0) return
    const name = pairs[index]?.contender.name ?? "a contender"
    return yield* new Child.ChildFailed({ name, problem: `answered no request before the load: ${failures[index]}` })
  })

/** Waits until no server has a connection left. */
const settle = ({ tracks }: Recording.Recording): Effect.Effect<void> =>
  Effect.repeat(Effect.sync(() => tracks.every(({ connections }) => connections.at(-1)?.open === 0)), {
    schedule: Schedule.spaced("50 millis"),
    until: (closed) => closed
  }).pipe(Effect.timeoutOption(settling), Effect.asVoid)

/** Starts a run. When the scope closes, all its processes are ended. */
export const start = (options: Options): Effect.Effect<Running, Child.ChildFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const { contenders, plan } = options
    const concurrently = { concurrency: "unbounded" } as const
    const [load, pairs] = yield* Effect.all([
      Effect.tap(Child.start("the load", "load/main.ts", {}), Child.ready),
      Effect.forEach(contenders, (id) => startPair(id, options), concurrently)
    ], concurrently)
    yield* warmUp(load, pairs)
    const at = now() + plan.warmUp + headStart
    const elapsed = () => now() - at
    const recording = Recording.make(contenders.length)
    const followed = yield* Effect.forEach(pairs, (pair, index) => {
      const track = recording.tracks[index]
      return track === undefined ? Effect.die("there is a track for each contender") : followPair(pair, track, elapsed)
    })
    yield* Effect.forEach(pairs, ({ server }) => server.send({ plan, at }))
    yield* load.send({ plan, at })
    const whole = followLoad(load, recording).pipe(
      Effect.andThen(Effect.forEach(followed, ({ closing }) => closing, concurrently)),
      Effect.andThen(settle(recording))
    )
    // A server that ends early ends the run.
    return { recording, elapsed, ended: Effect.raceAllFirst([whole, ...followed.map(({ watching }) => watching)]) }
  })
