/**
 * Loads a package that one entry point needs, and that is an optional peer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { TaggedError } from "./TaggedError.ts"

/** An entry point, the package that it needs, and the version to install. */
export interface Peer {
  readonly entry: string
  /** Not `name`, which would be the name of the error. */
  readonly package: string
  readonly version: number
}

/** A package that an entry point needs is not installed. */
export class MissingPeer extends TaggedError("MissingPeer")<Peer & { readonly cause: unknown }> {
  readonly isRetryable = false
  override get message(): string {
    return `effect-sluice/${this.entry} needs ${this.package}, which is not installed: npm install ${this.package}@${this.version}`
  }
}

const isMissing = (error: unknown, name: string): boolean =>
  error instanceof Error && "code" in error &&
  (error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND") && error.message.includes(`'${name}'`)

/**
 * Loads a package when it is first needed, so that the entry point itself loads without it. It dies with `MissingPeer` where the
 * package is not installed: that is a mistake in the program.
 */
export const loadPeer = <A>(peer: Peer, load: () => Promise<A>): Effect.Effect<A> =>
  Effect.promise(() =>
    load().catch((cause) => {
      throw isMissing(cause, peer.package) ? new MissingPeer({ ...peer, cause }) : cause
    })
  )
