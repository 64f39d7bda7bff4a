/**
 * What `Connector.fromPromise` takes: a client whose functions return promises.
 *
 * @since 0.1.0
 */
import type * as Exit from "effect/Exit"
import { errorText, safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/**
 * A client whose functions return promises, as `Connector.fromPromise` takes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseClient<in K, A extends object> {
  /**
   * Makes the client, or a promise of it, so that it can be destroyed before it connects. It may dial only if it
   * returns the client itself, as with `mysql2`, which dials in its constructor: a promise of a client cannot be cancelled.
   */
  readonly create: (key: K) => A | PromiseLike<A>
  /**
   * Connects the client; its promise is fulfilled when the client can be used. The signal is aborted when the connect is
   * cancelled, and `destroy` follows, so the signal may be ignored.
   */
  readonly connect: (client: A, key: K, signal: AbortSignal) => unknown
  /**
   * Ends the client and its socket at once, whatever its state; a promise is awaited. It is called when `connect` has failed or was
   * cancelled, when `close` has failed or took too long, when the connection is known to be dead, has failed its `check` or must not be
   * leased again, and where there is no `close`. A half-close is not enough: a silent server never closes its side. It must not throw where the
   * client has ended already.
   */
  readonly destroy: (client: A) => unknown
  /**
   * Closes the client gracefully, within `closeTimeout`. It is called on a client that is connected, is not known to be dead, and could
   * be leased again: with an answer outstanding, a graceful close would wait for that too.
   */
  readonly close?: ((client: A) => unknown) | undefined
  /**
   * Subscribes `onClosed` to the end of the connection, on whichever side it ends. It is called as soon as there is a client, so that
   * no end is missed. Subscribe to the first event that says so, as in `client.once("error", onClosed).once("end", onClosed)`: with many
   * clients an `error` comes before the `end`, and until `onClosed` is called the connection may be leased. If it returns a function,
   * that is called when the client has been closed.
   */
  readonly closed?: ((client: A, onClosed: () => void) => unknown) | undefined
  /** Asks whether an idle connection still works: it throws, or its promise is rejected, when it does not. */
  readonly check?: ((client: A, signal: AbortSignal) => unknown) | undefined
  /**
   * Whether the connection may be leased again: after a borrow that ended so, or before the next one. It is not asked of one that is
   * known to be dead, nor, without `reuseAfterInterruption`, after a borrow that was interrupted or died. @default yes
   */
  readonly isReusable?: ((client: A, exit?: Exit.Exit<unknown, unknown>) => boolean) | undefined
  /**
   * Whether `isReusable` decides also after a borrow that was interrupted or died. Without it such a borrow takes the connection out of
   * use: a command may be under way, or a transaction open. It is for a client that pairs answers with requests by itself and
   * keeps no state for its user. @default false
   */
  readonly reuseAfterInterruption?: boolean | undefined
}

/**
 * A client has failed to be made, to connect or to answer a check. `cause` is what it has thrown or rejected with, as it is, or the
 * `error` event that it emitted before that while it was connecting: `Failure.classify` finds its codes there.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientError extends TaggedError("ClientError")<{
  readonly operation: "create" | "connect" | "check"
  readonly cause: unknown
}> {
  override get message(): string {
    return safeMessage(`${this.operation} failed: ${errorText(this.cause)}`)
  }
}
