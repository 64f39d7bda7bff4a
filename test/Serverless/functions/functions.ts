/**
 * The functions that the tests deploy to the emulator.
 */
import { Context, Data, Deferred, Effect, Exit, Layer } from "effect"
import type { Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Lambda from "effect-sluice/Lambda"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Fs from "node:fs"
import { threadId } from "node:worker_threads"
import * as PgConnector from "../../../examples/postgres/PgConnector.ts"

const env = (name: string): string => process.env[name] ?? ""

const common = {
  between: "keep" as const,
  extension: env("EXTENSION") !== "no",
  margin: Number(env("MARGIN") || 300)
}

// Something else in the process that has to end in order.
if (env("LISTENER") !== "") {
  process.on("SIGTERM", () =>
    setTimeout(() => {
      process.stderr.write("the other listener has ended\n")
      process.exit(7)
    }, 150))
}

// ---- a pool of PostgreSQL sessions -----------------------------------------------------------------------------------

const database = Endpoint.tcp("127.0.0.1", 5432)

class Postgres extends ConnectionPool.Service<Postgres>()("test/Postgres", {
  connector: PgConnector.connector({
    database: "postgres",
    username: "postgres",
    applicationName: env("APPLICATION"),
    guardRails: PgConnector.guardRailsFor({ idleTimeout: "30 seconds", functionTimeout: "3 seconds" })
  }),
  ...ConnectionPool.serverless,
  maxPerEndpoint: 50,
  maxTotal: 50
}) {}

const postgres = Postgres.layer.pipe(Layer.provide(ResourceMonitor.layer))

const backend = Postgres.withConnection(
  database,
  ({ postgres }) => Effect.map(postgres.query("SELECT pg_backend_pid() AS pid"), ({ rows }) => Number(rows[0]?.["pid"]))
)

/** Runs so many effects at once, each of which is given something that ends when all have it. */
const atOnce = <E, R>(count: number, f: (hold: Effect.Effect<void>) => Effect.Effect<void, E, R>) => {
  const all = Deferred.makeUnsafe<void>()
  let held = 0
  const hold = Effect.suspend(() => {
    if (++held === count) Deferred.doneUnsafe(all, Exit.void)
    return Deferred.await(all)
  })
  return Effect.forEach(Array.from({ length: count }), () => f(hold), { concurrency: "unbounded", discard: true })
}

interface Query {
  readonly open?: number
  readonly sleep?: number
}

const query = () =>
  Lambda.handler({
    ...common,
    layer: postgres,
    handle: ({ open = 0, sleep = 0 }: Query) =>
      Effect.gen(function*() {
        if (open > 0) yield* atOnce(open, (hold) => Postgres.withConnection(database, () => hold))
        if (sleep > 0) {
          yield* Postgres.withConnection(database, ({ postgres }) => postgres.query(`SELECT pg_sleep(${sleep})`))
        }
        const { opened, total } = yield* Postgres.stats
        return { pid: yield* backend, opened, total, holder: yield* Lambda.holderId }
      })
  })

// ---- a pool of plain connections -------------------------------------------------------------------------------------

class Lines extends ConnectionPool.Service<Lines>()("test/Lines", {
  connector: TcpConnection.connector({ connectTimeout: "1 second" }),
  ...ConnectionPool.serverless
}) {}

/** The test's own server. */
const server = () => Endpoint.tcp("127.0.0.1", Number(env("PORT")))

const echo = Effect.suspend(() =>
  Lines.withConnection(
    server(),
    (connection) =>
      Effect.andThen(connection.write("x"), Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes)))
  )
)

const lines = () =>
  Lambda.handler({ ...common, layer: Lines.layer.pipe(Layer.provide(ResourceMonitor.layer)), handle: () => echo })

/** Has so many connections open at once, and keeps them, with closing times that are longer than any window. */
class Many extends ConnectionPool.Service<Many>()("test/Many", {
  connector: TcpConnection.connector(),
  maxPerEndpoint: 50,
  maxTotal: 50,
  closeTimeout: "1 minute",
  drainTimeout: "1 minute"
}) {}

const many = () =>
  Lambda.handler({
    ...common,
    layer: Many.layer.pipe(Layer.provide(ResourceMonitor.layer)),
    handle: () => Effect.andThen(atOnce(50, (hold) => Many.withConnection(server(), () => hold)), Many.stats)
  })

/** Connects while its services are built, as a careless layer does. */
class Eager extends Context.Service<Eager, TcpConnection.TcpConnection>()("test/Eager") {}

const eager = () =>
  Lambda.handler({
    ...common,
    layer: Layer.effect(
      Eager,
      Effect.suspend(() => TcpConnection.connect(server()))
    ),
    handle: () => Effect.flatMap(Eager, (connection) => Effect.as(connection.write("x"), "written"))
  })

/** Written at once: what a worker thread gives to its own stderr is lost if the process ends before the main thread has it. */
const note = (text: string) => Effect.sync(() => Fs.writeSync(2, `${text}\n`))

// ---- everything else -------------------------------------------------------------------------------------------------

class NoMore extends Data.TaggedError("NoMore") {}

/** Streams two parts, with a connection that stays open and a timer that keeps the event loop alive. */
const stream = () =>
  Lambda.streamingHandler({
    ...common,
    layer: Lines.layer.pipe(Layer.provide(ResourceMonitor.layer)),
    handle: (
      { fail = false, hang = false, large = 0, refuse = false }: {
        fail?: boolean
        hang?: boolean
        large?: number
        refuse?: boolean
      },
      response
    ) =>
      Effect.gen(function*() {
        if (refuse) return yield* new NoMore()
        setInterval(() => {}, 1000)
        yield* response.contentType("text/plain")
        yield* response.write("one ")
        yield* response.write(yield* echo)
        if (hang) return yield* Effect.never
        if (fail) return yield* new NoMore()
        for (let part = 0; part < large; part++) yield* response.write("y".repeat(1_000_000))
      })
  })

/** Notes when it is closed, and in which thread. */
const noting = () =>
  Lambda.handler({
    ...common,
    layer: Layer.effectDiscard(
      Effect.addFinalizer(() => note(`closed in thread ${threadId}`))
    ),
    handle: ({ hold = false }: { hold?: boolean }) =>
      (hold ? Effect.never : Effect.void).pipe(
        Effect.onInterrupt(() => note(`interrupted in thread ${threadId}`)),
        Effect.as({ thread: threadId })
      )
  })

/** Cannot be interrupted. */
const stuck = () =>
  Lambda.handler({
    ...common,
    layer: postgres,
    handle: () =>
      Postgres.withConnection(
        database,
        () => Effect.onExit(Effect.never, (exit) => Exit.isFailure(exit) ? Effect.never : Effect.void)
      )
  })

/** Stays for good in one phase of its life, with a connection open or on its way. */
const phased = () => {
  const phase = env("PHASE")
  const stay = Effect.andThen(note("it stays"), Effect.never)
  const connected = Effect.andThen(TcpConnection.connect(server()), stay)
  const built: Record<string, Effect.Effect<unknown, TcpConnection.TcpConnectionError, Scope.Scope>> = {
    "its layer is being built": connected,
    "its layer is being built, which cannot be interrupted": Effect.uninterruptible(connected)
  }
  const use = (f: () => Effect.Effect<unknown>) => Lines.withConnection(server(), f)
  const handled: Record<string, ReturnType<typeof use>> = {
    "a connect is in progress": Effect.scoped(Effect.andThen(
      Effect.forkScoped(TcpConnection.connect(server(), { tls: true }), { startImmediately: true }),
      Effect.andThen(Effect.sleep("50 millis"), stay)
    )),
    "an invocation runs": use(() => stay),
    "an invocation runs, which cannot be interrupted": use(() => Effect.uninterruptible(stay)),
    "the finalizer of an invocation hangs": use(() => Effect.ensuring(Effect.void, stay)),
    "connections close between two invocations": use(() => Effect.void)
  }
  return Lambda.handler({
    ...common,
    between: phase.startsWith("connections close") ? "closeIdle" : "keep",
    layer: Layer.merge(
      Lines.layer.pipe(Layer.provide(ResourceMonitor.layer)),
      Layer.effectDiscard(built[phase] ?? Effect.void)
    ),
    handle: () => handled[phase] ?? Effect.void
  })
}

export const functions = { phased, query, lines, many, eager, stream, noting, stuck }
