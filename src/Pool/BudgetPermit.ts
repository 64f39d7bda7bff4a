/**
 * The permit of a connection, where connections are taken from a budget.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { endsWithin, supervised } from "../internal/Bounded.ts"
import { TrackedByPool } from "../internal/Tracked.ts"
import { report } from "../internal/Unhandled.ts"
import { patienceOf } from "./Closing.ts"
import type { ConnectionBudget } from "./ConnectionBudget.ts"
import type { Settings } from "./PoolOptions.ts"

/** What takes a permit for a connection. */
interface Request {
  /** The endpoint's text. */
  readonly label: string
  readonly settings: Settings
  /** Lasts as long as the slot of the connection. */
  readonly slot: Scope.Closeable
  /** The budget has had nothing left for a while: an idle connection of another endpoint may give its permit up. */
  readonly crowded: () => void
}

/** How long a budget may keep a dial waiting before an idle connection of another endpoint gives its permit up. */
const patienceWithBudget = Duration.millis(100)

const hungBudget = (what: string, label: string, patience: Duration.Duration): string =>
  `ConnectionPool: ${what} the budget's permit for ${label} has not ended within ${
    Duration.format(patience)
  } and is left behind`

const giveBack = (permit: Scope.Closeable, label: string, { closeTimeout }: Settings): Effect.Effect<void> =>
  Effect.suspend(() => {
    const patience = patienceOf(closeTimeout)
    const giving = Effect.tapCause(
      Scope.close(permit, Exit.void),
      (cause) => report(`ConnectionPool: giving back the budget's permit for ${label} has failed`, cause)
    )
    return Effect.flatMap(
      endsWithin(giving, patience),
      (ended) => ended ? Effect.void : report(hungBudget("giving back", label, patience))
    )
  })

/**
 * Takes a permit from a budget, in a scope of its own that closes with the connection's. A budget that hangs, whether it is asked
 * for a permit or given one back, cannot hold up the pool.
 */
export const permitted = (
  budget: ConnectionBudget,
  { crowded, label, settings, slot }: Request
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const scope = Scope.makeUnsafe()
    const patience = patienceOf(settings.closeTimeout)
    yield* Scope.addFinalizer(slot, giveBack(scope, label, settings))
    // A borrower may wait, or a connection be idle, only later.
    const asking = Effect.forever(Effect.andThen(Effect.sleep(patienceWithBudget), Effect.sync(crowded)))
    // What a budget opens for a permit is none of the pool's connections.
    const taking = Effect.provideService(Scope.provide(budget.take(label), scope), TrackedByPool, false)
    const exit = yield* supervised(Effect.raceFirst(taking, asking), {
      within: Duration.infinity,
      patience,
      leftBehind: () => report(hungBudget("taking", label, patience))
    })
    if (exit !== undefined && Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause)
  })
