/**
 * The connector and the hooks of the reference model: they do what the history has scripted, and check what the pool asks.
 */
import { Deferred, Effect, Exit, type Scope } from "effect"
import type * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../../src/Resource/Connector.ts"
import * as History from "./History.ts"
import {
  type Account,
  act,
  type Borrower,
  type Connection,
  CurrentBorrower,
  inPhase,
  isIdle,
  lastingHolders,
  makeConnection,
  type ScriptedFailure
} from "./Records.ts"

/** What the connector and the hooks ask of the model. */
export interface Referee {
  readonly history: History.History
  readonly accounts: ReadonlyMap<string, Account>
  readonly now: () => number
  /** How often everything has settled. */
  readonly settled: () => number
  readonly expect: (condition: boolean, otherwise: string) => void
  /** The largest caps since everything had settled. A dial that was decided on when a cap is lowered goes on. */
  readonly largestCaps: () => { readonly maxPerEndpoint: number; readonly maxTotal: number }
  /** Nothing may be opened: the pool is suspended, or is being drained, and everything has settled since. */
  readonly isShut: () => boolean
  /** A connection has become the pool's. */
  readonly opened: (connection: Connection) => void
  /** The pool has begun to close a connection. */
  readonly closing: (connection: Connection) => void
  readonly fail: (account: Account) => void
  /** A connection could be opened, and made ready if it has to be. */
  readonly works: (account: Account) => void
  /** A borrower has its connection, which is being checked for it or not. */
  readonly turn: (borrower: Borrower, connection: Connection, isChecked: boolean) => void
  /** The check of a connection has ended. If it has passed, others may share it now. */
  readonly proved: (connection: Connection) => void
  /** Nobody may get the connection any more. */
  readonly giveUp: (connection: Connection) => void
  /** A borrower goes back to the front of its queue, unless its time is over. */
  readonly sendBack: (borrower: Borrower) => void
}

export type Hooks = ConnectionPool.Hooks<Connection, ScriptedFailure>

/** Everything that a dial does until the connection is the pool's, but for the hook after opening. */
const open = (referee: Referee, account: Account): Effect.Effect<Connection, ScriptedFailure, Scope.Scope> =>
  Effect.suspend(() => {
    const { accounts, expect, history } = referee
    const { key } = account
    const connection = makeConnection(key, referee.now())
    const socket = Effect.acquireRelease(
      Effect.sync(() => {
        account.connections.add(connection)
        account.isKnown = true
        const { maxPerEndpoint, maxTotal } = referee.largestCaps()
        const all = [...accounts.values()].reduce((sum, { connections }) => sum + connections.size, 0)
        expect(account.connections.size <= maxPerEndpoint, `${account.connections.size} connections to ${key}`)
        expect(all <= maxTotal, `${all} connections in all`)
        expect(!referee.isShut(), `a dial of ${key} although the pool opens nothing`)
        const dialling = inPhase(account, "Dialling").length
        expect(dialling <= (account.downAt < referee.settled() ? 1 : 2), `${dialling} dials of ${key} at once`)
      }),
      () =>
        Effect.sync(() => {
          account.connections.delete(connection)
          if (connection.phase !== "Dialling") return
          // The pool learns that an attempt has failed when nothing of it is left, and may learn of a success after that.
          if (account.upAt < referee.settled()) account.downAt = Math.min(account.downAt, referee.settled())
          referee.fail(account)
        })
    )
    const dial = Effect.onExit(
      Effect.suspend(() => act(account.conduct.dials)),
      (exit) => Effect.sync(() => dialled(referee, account, connection, exit, !history.hooks.includes("afterOpen")))
    )
    const closed = Effect.acquireRelease(
      Effect.succeed(connection),
      () =>
        Effect.suspend(() => {
          expect(!connection.closed, "a connection is closed twice")
          connection.closed = true
          if (connection.phase === "Open") {
            connection.phase = "Closing"
            referee.closing(connection)
          }
          return account.closes === 0 ? Effect.void : Effect.sleep(account.closes)
        })
    )
    return Effect.andThen(Effect.andThen(socket, dial), closed)
  })

const works = (account: Account, settled: number): void => {
  account.upAt = settled
  account.downAt = Infinity
}

/** A step of opening has ended, which is the last one if it failed. */
const dialled = (
  { fail, opened, settled }: Referee,
  account: Account,
  connection: Connection,
  exit: Exit.Exit<unknown, unknown>,
  isLast: boolean
): void => {
  if (Exit.isFailure(exit) || !isLast) return
  works(account, settled())
  opened(connection)
  if (!Deferred.isDoneUnsafe(connection.died)) return
  account.doubted = true
  fail(account)
}

/** A check that a borrower waits for, or that keeps an idle connection alive. */
const check = (referee: Referee, account: Account, connection: Connection): Effect.Effect<void, ScriptedFailure> =>
  Effect.flatMap(CurrentBorrower, (borrower) => {
    if (borrower === undefined) return tend(referee, account, connection, "keepalive")
    referee.turn(borrower, connection, true)
    borrower.stage = "preparing"
    connection.checkedFor = borrower
    connection.unproven = true
    return Effect.onExit(act(account.conduct.checks), (exit) =>
      Effect.sync(() => {
        borrower.stage = "none"
        // A check that was cut off has proved nothing: the next borrower must not be the one to find out.
        connection.unproven = Exit.isFailure(exit)
        // Where it has to be made ready as well, others share it after that.
        if (!referee.history.hooks.includes("beforeLend")) referee.proved(connection)
        if (borrower.task.cancelled) return
        if (Exit.isSuccess(exit)) {
          if (!referee.history.hooks.includes("beforeLend")) sendBackIfGone(referee, borrower, connection)
          return
        }
        referee.giveUp(connection)
        referee.sendBack(borrower)
      }))
  })

/** What dies while it is prepared for a borrower is not lent, unless the pool has yet to learn of it. */
const sendBackIfGone = (referee: Referee, borrower: Borrower, connection: Connection): void => {
  if (Deferred.isDoneUnsafe(connection.died)) referee.sendBack(borrower)
}

/** What the pool does with a connection that nobody has. */
const tend = (
  { expect, giveUp, now }: Referee,
  account: Account,
  connection: Connection,
  what: "keepalive" | "afterReturn"
): Effect.Effect<void, ScriptedFailure> =>
  Effect.suspend(() => {
    const holders = lastingHolders(connection)
    expect(
      holders.length === 0,
      `${what} runs on a connection to ${account.key} that borrower ${holders[0]?.number} has`
    )
    expect(connection.tended === "no", `${what} runs on a connection to ${account.key} during ${connection.tended}`)
    expect(connection.phase === "Open", `${what} runs on a connection to ${account.key} that is ${connection.phase}`)
    if (what === "keepalive") {
      expect(isIdle(connection), `keepalive runs on a connection to ${account.key} that is lent`)
    }
    connection.tended = what
    return Effect.onExit(act(account.conduct[what === "keepalive" ? "checks" : what]), (exit) =>
      Effect.sync(() => {
        connection.tended = "no"
        connection.provenAt = now()
        if (what === "afterReturn") {
          connection.used = false
          connection.usedAt = now()
        }
        if (Exit.isSuccess(exit)) return
        connection.unproven = true
        giveUp(connection)
      }))
  })

const makeReady = (referee: Referee, account: Account, connection: Connection): Effect.Effect<void, ScriptedFailure> =>
  Effect.flatMap(CurrentBorrower, (borrower) => {
    if (borrower === undefined) return Effect.die(new Error("a connection is made ready for nobody"))
    referee.turn(borrower, connection, false)
    borrower.stage = "preparing"
    return Effect.onExit(act(account.conduct.beforeLend), (exit) =>
      Effect.sync(() => {
        borrower.stage = "none"
        if (connection.checkedFor === borrower) referee.proved(connection)
        if (Exit.isSuccess(exit)) {
          borrower.readied = connection
          if (!connection.tried) works(account, referee.settled())
          connection.tried = true
          // A failure that came after it may still count.
          if (account.failedAt < connection.openedAt) referee.works(account)
          if (!borrower.task.cancelled) sendBackIfGone(referee, borrower, connection)
          return
        }
        referee.giveUp(connection)
        if (borrower.task.cancelled) return
        referee.sendBack(borrower)
      }))
  })

/** The connector and the hooks of a history. */
export const make = (referee: Referee) => {
  const accountOf = (key: string): Account => {
    const account = referee.accounts.get(key)
    if (account === undefined) throw new Error(`no account of ${key}`)
    return account
  }
  const all: Hooks = {
    afterOpen: (connection) => {
      const account = accountOf(connection.key)
      return Effect.onExit(
        Effect.suspend(() => act(account.conduct.afterOpen)),
        (exit) => Effect.sync(() => dialled(referee, account, connection, exit, true))
      )
    },
    beforeLend: (connection) => makeReady(referee, accountOf(connection.key), connection),
    afterReturn: (connection) => tend(referee, accountOf(connection.key), connection, "afterReturn")
  }
  return {
    connector: Connector.make({
      open: (key: string) => open(referee, accountOf(key)),
      check: (connection: Connection) => check(referee, accountOf(connection.key), connection),
      closed: (connection: Connection) => Deferred.await(connection.died)
    }),
    hooks: Object.fromEntries(referee.history.hooks.map((hook) => [hook, all[hook]])) as Hooks
  }
}
