/**
 * What the processes of a run say to each other.
 */
import * as Schema from "effect/Schema"
import type { Database } from "./contenders/Contender.ts"
import type { Limits } from "./contenders/Limits.ts"
import type { Plan } from "./Plan.ts"

/** The program of a contender: the name of its module. */
export const contenders = ["Sluice", "LightningPool", "DialPerRequest", "SluicePostgres", "PgPool", "SqlPg"] as const
export type ContenderId = typeof contenders[number]

/** Loads a contender, by its first message. */
export interface ContenderLoad {
  readonly id: ContenderId
}

/** Starts a contender, by its second message. Its third one closes it. */
export interface ContenderStart {
  readonly host: string
  readonly port: number
  readonly limits: Limits
  readonly database: Database | undefined
}

/** Starts the server, by its first message. */
export interface ServerStart {
  /** Where the server is, if it is not the one of the demo. */
  readonly upstream: { readonly host: string; readonly port: number } | { readonly path: string } | undefined
}

/** What to load, the second message of the load. */
export interface LoadTargets {
  /** The ports of the contenders. */
  readonly ports: ReadonlyArray<number>
}

/** Starts the load, by its third message. */
export interface LoadStart {
  readonly plan: Plan
  /** The start of the plan, in milliseconds of the wall clock, which all processes of a machine share. */
  readonly at: number
}

/** Starts the schedule of the server. */
export interface ScheduleStart {
  readonly plan: Plan
  readonly at: number
}

/** One request: contender, intended start, time to its end, and how it ended: `ok`, or the reason why not. */
export const Outcome = Schema.Tuple([Schema.Int, Schema.Finite, Schema.Finite, Schema.String])
export type Outcome = typeof Outcome.Type

/** What a child says. Times are milliseconds of the wall clock. */
export const Message = Schema.Union([
  /** It listens on this port, or 0 if it does not listen. */
  Schema.TaggedStruct("Ready", { port: Schema.Int }),
  /** A contender: its open descriptors and its CPU time so far, in milliseconds. */
  Schema.TaggedStruct("Process", {
    at: Schema.Finite,
    descriptors: Schema.NullOr(Schema.Int),
    cpu: Schema.Finite
  }),
  /** A server: the connections that are open, and how many it has accepted so far. */
  Schema.TaggedStruct("Connections", { at: Schema.Finite, open: Schema.Int, accepted: Schema.Int }),
  /** The load: each contender has answered its first requests, or has not, for this reason. */
  Schema.TaggedStruct("Warm", { failures: Schema.Array(Schema.NullOr(Schema.String)) }),
  /** The load: requests that have ended. */
  Schema.TaggedStruct("Outcomes", { outcomes: Schema.Array(Outcome) }),
  /** The load: all requests have ended. How late they were sent, by the 99th percentile: above 0 on a busy machine. */
  Schema.TaggedStruct("Done", { late: Schema.Finite }),
  /**
   * A contender has closed everything: its descriptors before it opened the first connection, and now, and the most connections that
   * it had at once.
   */
  Schema.TaggedStruct("Closed", {
    before: Schema.NullOr(Schema.Int),
    after: Schema.NullOr(Schema.Int),
    held: Schema.NullOr(Schema.Int)
  })
])
export type Message = typeof Message.Type
