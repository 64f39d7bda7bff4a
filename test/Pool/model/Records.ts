/**
 * What the reference model writes down: the connections as their connector knows them, and the borrowers.
 */
import { Context, Deferred, Effect, type Fiber } from "effect"
import * as History from "./History.ts"

export interface Connection {
  readonly key: string
  readonly died: Deferred.Deferred<void>
  readonly holders: Set<Borrower>
  /** From the first step of its dial to the last of its hook after opening, until it is given up, and until it is gone. */
  phase: "Dialling" | "Open" | "Closing"
  closed: boolean
  /** When it became the pool's. */
  openedAt: number
  /** When somebody last used it, and when it was last known to work. */
  usedAt: number
  provenAt: number
  /** How often everything had settled when it was given up: since then nobody may get it any more. */
  unfitAt: number
  /** How often everything had settled when it died. */
  diedAt: number
  /** A check or a hook that nobody but the pool asks for runs on it. */
  tended: "no" | "keepalive" | "afterReturn"
  /** Its last check has not passed, or is still running. */
  unproven: boolean
  /** Nobody shares it until it has been checked, and made ready, for this borrower. */
  checkedFor: Borrower | undefined
  /** Somebody had it, and it has not been cleaned up since. */
  used: boolean
  /** It was made ready for somebody at least once. */
  tried: boolean
  /** Nobody has worked with it so far. */
  isNew: boolean
  /** When its dial began, and whether a borrow of it has ended with a success. */
  readonly dialledAt: number
  served: boolean
  /** Borrowers that keep it for themselves, and how often everything had settled when the last of them came. */
  reservations: number
  reservedAt: number
  /** One of its borrowers gave it back while its slot may have been needed elsewhere: the others have it to the end. */
  contested: boolean
}

/** A fiber, and the borrows that it has begun. */
export interface Task {
  readonly borrowers: Array<Borrower>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  cancelled: boolean
}

export interface Borrower {
  readonly number: number
  readonly key: string
  readonly since: number
  readonly task: Task
  state: "Waiting" | "Holding" | "Done"
  connection: Connection | undefined
  /** What goes on with its connection: between the two, the pool has yet to lend it for good. */
  stage: "none" | "preparing" | "working"
  /** The connection that was made ready for it. */
  readied: Connection | undefined
  /** How often everything had settled when it came, and when it was first seen in the queue. */
  readonly cameAt: number
  queuedAt: number
  /** How often everything had settled when it last waited. */
  waitedAt: number
  hadTurn: boolean
  hadTurnNow: boolean
  /** Its own fiber held all that it could get when it came. */
  readonly hopeless: boolean
}

/** What the connector has for one endpoint. */
export interface Account {
  readonly key: string
  readonly conduct: Record<History.Scripted, History.Conduct>
  closes: number
  readonly connections: Set<Connection>
  /** It was dialled at least once. */
  isKnown: boolean
  /** How often everything had settled when dials began to fail, and when one last succeeded. */
  downAt: number
  upAt: number
  /** The endpoint counts as failing, because of that or because a connection was of no use as soon as it was there. */
  failing: boolean
  failedAt: number
  /** When a connection died that had served nobody, while one of its borrowers may just have failed. */
  mayHaveFailedAt: number
  /** A connection died that had served nobody: until one has served somebody, the pool pauses after each dial. */
  doubted: boolean
  /** How often everything had settled when a connection of it was last given up. */
  lostAt: number
}

export const makeAccount = (key: string): Account => ({
  key,
  conduct: { dials: "works", checks: "works", afterOpen: "works", beforeLend: "works", afterReturn: "works" },
  closes: 0,
  connections: new Set(),
  isKnown: false,
  downAt: Infinity,
  upAt: -1,
  failing: false,
  failedAt: -Infinity,
  mayHaveFailedAt: -Infinity,
  doubted: false,
  lostAt: -1
})

export const makeConnection = (key: string, dialledAt: number): Connection => ({
  key,
  died: Deferred.makeUnsafe(),
  holders: new Set(),
  phase: "Dialling",
  closed: false,
  openedAt: -1,
  usedAt: -1,
  provenAt: -1,
  unfitAt: Infinity,
  diedAt: Infinity,
  tended: "no",
  unproven: false,
  checkedFor: undefined,
  used: false,
  tried: false,
  isNew: true,
  dialledAt,
  served: false,
  reservations: 0,
  reservedAt: Infinity,
  contested: false
})

export const inPhase = ({ connections }: Account, phase: Connection["phase"]): ReadonlyArray<Connection> =>
  [...connections].filter((connection) => connection.phase === phase)

/** The pool has it, and nobody uses, checks or resets it. */
export const isIdle = ({ holders, phase, tended }: Connection): boolean =>
  phase === "Open" && holders.size === 0 && tended === "no"

/** Those that have a connection and will use it to the end. */
export const lastingHolders = ({ holders }: Connection): ReadonlyArray<Borrower> =>
  [...holders].filter(({ task }) => !task.cancelled)

export class ScriptedFailure extends Error {
  readonly code: string
  constructor(code: string) {
    super(`scripted ${code}`)
    this.code = code
  }
}

/** Tells a check, or a hook, which borrower it is for; none is while the pool tends a connection itself. */
export const CurrentBorrower = Context.Reference<Borrower | undefined>("test/Model/CurrentBorrower", {
  defaultValue: () => undefined
})

export const act = (conduct: History.Conduct): Effect.Effect<void, ScriptedFailure> => {
  switch (conduct) {
    case "works":
      return Effect.void
    case "is slow":
      return Effect.sleep(4)
    case "fails":
      return Effect.fail(new ScriptedFailure("ECONNREFUSED"))
    case "fails slowly":
      return Effect.andThen(Effect.sleep(3), Effect.fail(new ScriptedFailure("ECONNREFUSED")))
    case "hangs":
      return Effect.never
    case "dies":
      return Effect.die(new Error("scripted defect"))
  }
}
