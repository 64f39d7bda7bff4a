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
 * @stability stable
 */
export interface PromiseClient<in K, A extends object> {
  /**
   * Makes the client, or a promise of it, before it connects, so that it can be destroyed at any time. It may already dial if
   * it returns the client itself, as with `mysql2`, which dials in its constructor. It must not dial if it returns a promise,
   * because a promise cannot be cancelled.
   */
  readonly create: (key: K) => A | PromiseLike<A>
  /**
   * Connects the client; its promise is fulfilled when the client can be used. When the connect is cancelled, the signal is
   * aborted and `destroy` is called, so the signal may be ignored.
   */
  readonly connect: (client: A, key: K, signal: AbortSignal) => unknown
  /**
   * Ends the client and its socket at once, in any state; a promise is awaited. It is called when `connect` has failed or was
   * cancelled, when `close` has failed or took too long, when the connection is known to be dead, has failed its `check` or
   * must not be leased again, and if there is no `close`. Closing only our side of the socket is not enough, because a silent
   * server never closes its side. It must not throw if the client has already ended.
   */
  readonly destroy: (client: A) => unknown
  /**
   * Closes the client gracefully, within `closeTimeout`. It is called only if the client is connected, is not known to be dead,
   * and could be leased again. In other cases a graceful close might wait for an answer that never comes.
   */
  readonly close?: ((client: A) => unknown) | undefined
  /**
   * Subscribes `onClosed` to the end of the connection, whichever side ends it. It is called as soon as the client exists, so
   * that no end is missed. Subscribe to the earliest event, as in `client.once("error", onClosed).once("end", onClosed)`: many
   * clients emit `error` before `end`, and the connection may be leased until `onClosed` is called. If it returns a function,
   * that is called when the client has been closed.
   */
  readonly closed?: ((client: A, onClosed: () => void) => unknown) | undefined
  /** Asks whether an idle connection still works: it throws, or its promise is rejected, when it does not. */
  readonly check?: ((client: A, signal: AbortSignal) => unknown) | undefined
  /**
   * Whether the connection may be leased again. It is called after a borrow, with the exit of that borrow, and before the next
   * one. It is not called if the connection is known to be dead, nor (without `reuseAfterInterruption`) after a borrow that was
   * interrupted or died. @default yes
   */
  readonly isReusable?: ((client: A, exit?: Exit.Exit<unknown, unknown>) => boolean) | undefined
  /**
   * Whether `isReusable` also decides after a borrow that was interrupted or died. Otherwise the connection is closed then,
   * because a command may be under way, or a transaction open. Set it for a client that assigns answers to requests by itself,
   * and has no state of its user. @default false
   */
  readonly reuseAfterInterruption?: boolean | undefined
}

/**
 * Creating or connecting a client has failed, or its check. `cause` is the error that was thrown, or with which the promise was
 * rejected, or an `error` event that the client emitted before while it was connecting. `Failure.classify` reads the codes of
 * the cause.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ClientError extends TaggedError("ClientError")<{
  readonly operation: "create" | "connect" | "check"
  readonly cause: unknown
}> {
  override get message(): string {
    return safeMessage(`${this.operation} failed: ${errorText(this.cause)}`)
  }
}
