/**
 * The lines that the server prints on its standard output: its ports at the start, its account on request.
 */
import * as Schema from "effect/Schema"

/** Counts of misbehaviour, by kind. */
const Misbehaviour = Schema.Struct({
  /** Times that a listener was closed for a while, with its connections. */
  outages: Schema.Int,
  /** Idle connections that the server closed. */
  idleCloses: Schema.Int,
  /** Connections that were reset in the middle of a reply. */
  resets: Schema.Int,
  /** Slow answers. */
  slow: Schema.Int,
  /** Connections that the server stopped answering. */
  mutes: Schema.Int
})

/** The connections that the server accepted, and its misbehaviour. */
export const Account = Schema.Struct({
  opened: Schema.Int,
  /** Both sides ended the connection. */
  graceful: Schema.Int,
  /** The server or the peer reset the connection. */
  reset: Schema.Int,
  open: Schema.Int,
  misbehaviour: Misbehaviour
})

/** The account of the server. */
export type Account = typeof Account.Type

/** The account of a server without connections. */
export const nothing: Account = {
  opened: 0,
  graceful: 0,
  reset: 0,
  open: 0,
  misbehaviour: { outages: 0, idleCloses: 0, resets: 0, slow: 0, mutes: 0 }
}

/** The server's first line. */
export const Greeting = Schema.Struct({ ports: Schema.Array(Schema.Int) })

/** The line that requests the account. The answer is one line. */
export const accountRequest = "account\n"
