/**
 * What answers a request to the API. The contenders differ in nothing else.
 */
import type { Limits } from "./Limits.ts"

/** Where the server is, and what may be used. */
export interface Setting {
  readonly host: string
  readonly port: number
  readonly limits: Limits
  /** Of the database, where the server is one. */
  readonly database?: Database | undefined
}

/** How to log in to a database. */
export interface Database {
  readonly user: string
  readonly password: string | undefined
  readonly name: string
  readonly ssl: boolean
}

/** TLS without a check of the name: a proxy stands before the server. */
export const tls = { rejectUnauthorized: false }

/** A contender that is ready. */
export interface Contender {
  /** Asks the server for one request to the API. The signal is aborted when the caller is gone. */
  readonly answer: (gone: AbortSignal) => Promise<unknown>
  /** Closes all its connections. */
  readonly close: () => Promise<unknown>
  /** The most connections that it had at once, from the dial to the close, where the client counts them. */
  readonly mostHeld?: (() => number) | undefined
}

/** A module of a contender. */
export interface Module {
  /** The options that it uses, in the words of its library. */
  readonly optionsOf: (limits: Limits) => Readonly<Record<string, string>>
  readonly open: (setting: Setting) => Promise<Contender>
}
