/**
 * A client that takes nothing from its socket any more, as a frozen process does: what the server does about it by itself.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Duration from "effect/Duration"
import * as PgConnector from "../../examples/postgres/PgConnector.ts"
import { address, isThere, login, observe } from "../Serverless/Postgres.ts"

const endpoint = Endpoint.tcp(address.host, address.port)

const usual = PgConnector.guardRailsFor({ idleTimeout: "30 seconds", functionTimeout: "1 minute" })

/** How many milliseconds a session lives whose client stopped in the middle of an answer. */
const life = (unacknowledged: Duration.Duration, within: number) =>
  Effect.gen(function*() {
    const observer = yield* observe
    const application = `sluice-frozen-${process.pid}-${Duration.toMillis(unacknowledged)}`
    const guardRails = { ...usual, unacknowledged }
    const connector = PgConnector.connector({ ...login, applicationName: application, guardRails })
    const { postgres, socket } = yield* connector.open(endpoint)
    socket.pause()
    yield* Effect.forkScoped(
      Effect.exit(postgres.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)")),
      { startImmediately: true }
    )
    // `PgConnection` lets its socket flow when it asks for something.
    yield* Effect.sleep("1 millis")
    socket.pause()
    yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
    return yield* observer.gone(application, within)
  }).pipe(Effect.scoped)

describe.skipIf(!isThere)("a client that stopped in the middle of an answer", () => {
  it.live(
    "keeps its session without a limit, and loses it when what was sent is not taken for too long",
    () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* life(Duration.minutes(1), 3000), Infinity)
        const millis = yield* life(Duration.seconds(1), 20_000)
        console.log(`the session of a client that took nothing for 1 s was gone after ${Math.round(millis)} ms`)
        assert.isAbove(millis, 900)
        assert.isBelow(millis, Infinity)
      }),
    40_000
  )
})
