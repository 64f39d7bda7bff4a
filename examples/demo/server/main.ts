/**
 * The program of the server process. It prints its ports, answers each line on its standard input with its account, and
 * ends with its standard input, which also ends when the parent process does.
 */
import type * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Readline from "node:readline"
import { Account, Greeting } from "./Account.ts"
import type { Shared } from "./Listener.ts"
import { listener } from "./Listener.ts"
import * as Misbehaviour from "./Misbehaviour.ts"

const accountOf = ({ counts, sockets }: Shared): Account => ({
  opened: counts.opened,
  graceful: counts.graceful,
  reset: counts.reset,
  open: sockets.size,
  misbehaviour: {
    outages: counts.outages,
    idleCloses: counts.idleCloses,
    resets: counts.resets,
    slow: counts.slow,
    mutes: counts.mutes
  }
})

/** Waits briefly for open connections to close: a client's end may arrive after its request for the account. */
const settle = (shared: Shared): Effect.Effect<void> =>
  Effect.repeat(Effect.sync(() => shared.sockets.size === 0), {
    schedule: Schedule.max([Schedule.spaced("10 millis"), Schedule.recurs(40)]),
    until: (closed) => closed
  }).pipe(Effect.asVoid)

const print = <S extends Schema.ConstraintEncoder<unknown>>(schema: S, value: S["Type"]): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.orDie(Schema.encodeEffect(Schema.fromJsonString(schema))(value)),
    (line) => Effect.sync(() => process.stdout.write(`${line}\n`))
  )

const program = Effect.gen(function*() {
  const lines = yield* Queue.unbounded<string, Cause.Done>()
  const input = Readline.createInterface(process.stdin)
  input.on("line", (line) => Queue.offerUnsafe(lines, line))
  input.on("close", () => Queue.endUnsafe(lines))
  const shared: Shared = {
    sockets: new Set(),
    counts: { opened: 0, graceful: 0, reset: 0, outages: 0, idleCloses: 0, resets: 0, slow: 0, mutes: 0 },
    begun: yield* Deferred.make<void>()
  }
  const indexes = Array.from({ length: Misbehaviour.ports }, (_, index) => index)
  const ports = yield* Effect.forEach(indexes, (index) => listener(shared, index))
  yield* print(Greeting, { ports })
  yield* Queue.take(lines).pipe(
    Effect.andThen(settle(shared)),
    Effect.andThen(Effect.suspend(() => print(Account, accountOf(shared)))),
    Effect.forever,
    Effect.ignore
  )
}).pipe(Effect.scoped)

// A terminal sends Ctrl-C to the whole process group, but the parent still needs the account: it ends this process.
process.on("SIGINT", () => {})
process.on("SIGTERM", () => {})
// The parent has ended, and the end of the input follows.
process.stdout.on("error", () => {})

Effect.runFork(program)
