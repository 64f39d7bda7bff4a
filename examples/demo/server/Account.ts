/**
 * What the demo's server tells about itself over its standard output: its ports when it starts, its account on request.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** How often the server has misbehaved, by kind. */
const Misbehaviour = Schema.Struct({
  /** Times that a listener was closed for a while and its connections were ended. */
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

/** What the server saw. Connections are those that it accepted. */
export const Account = Schema.Struct({
  opened: Schema.Int,
  /** Both sides ended the connection. */
  graceful: Schema.Int,
  /** The connection broke: the server reset it, or the peer did. */
  reset: Schema.Int,
  open: Schema.Int,
  misbehaviour: Misbehaviour
})

/** What the server saw. */
export type Account = typeof Account.Type

/** The account before anything has happened. */
export const nothing: Account = {
  opened: 0,
  graceful: 0,
  reset: 0,
  open: 0,
  misbehaviour: { outages: 0, idleCloses: 0, resets: 0, slow: 0, mutes: 0 }
}

/** The server's first line. */
export const Greeting = Schema.Struct({ ports: Schema.Array(Schema.Int) })

/** The line by which the server is asked for its account, which it answers with one line. */
export const accountRequest = "account\n"
