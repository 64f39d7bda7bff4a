/**
 * Connectors of clients whose functions return promises.
 *
 * A promise cannot be interrupted. So the client is created before it connects, and a connect is cancelled by destroying the
 * client.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { isCleanExit } from "../../internal/BorrowExit.ts"
import { CloseTimeout } from "../../internal/CloseTimeout.ts"
import { timeoutOption } from "../../internal/Timeout.ts"
import { report } from "../../internal/UnhandledLog.ts"
import { ClientError, type PromiseClient } from "../PromiseClient.ts"

/** A client and its state. */
class Handle<A extends object> {
  readonly client: A
  isConnected = false
  isClosed = false
  /** Whether it must not be leased again, because of its last borrow or check. */
  isUnfit = false
  /**
   * Its first `error` event while it was connecting. Some clients reject their promise only with "closed", so this has the
   * reason.
   */
  emitted: { readonly error: unknown } | undefined
  /** The failure of `closed`. Then the client must not be used, because its end would not be noticed. */
  broken: ClientError | undefined
  #unsubscribe: unknown
  readonly #waiting = new Set<() => void>()

  constructor(client: A, closed: PromiseClient<never, A>["closed"]) {
    this.client = client
    try {
      // An `error` event without a listener ends the process, and a client that was destroyed may still emit one.
      if ("on" in client && typeof client.on === "function") {
        client.on("error", (error: unknown) => this.#onError(error))
      }
      this.#unsubscribe = closed?.(client, () => this.#onClosed())
    } catch (cause) {
      this.broken = new ClientError({ operation: "create", cause })
    }
  }

  get untilClosed(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const wake = () => resume(Effect.void)
      if (this.isClosed) return wake()
      this.#waiting.add(wake)
      return Effect.sync(() => this.#waiting.delete(wake))
    })
  }

  unsubscribe(): void {
    if (typeof this.#unsubscribe === "function") this.#unsubscribe()
  }

  #onError(error: unknown): void {
    if (!this.isConnected) this.emitted ??= { error }
  }

  #onClosed(): void {
    this.isClosed = true
    for (const wake of this.#waiting) wake()
  }
}

/** Fails with a `ClientError` whose cause is the error that the function throws, or with which its promise is rejected. */
const awaited = <A>(
  operation: ClientError["operation"],
  evaluate: (signal: AbortSignal) => A | PromiseLike<A>
): Effect.Effect<A, ClientError> =>
  Effect.tryPromise({
    try: (signal) => Promise.resolve(evaluate(signal)),
    catch: (cause) => new ClientError({ operation, cause })
  })

const isPromise = <A extends object>(value: A | PromiseLike<A>): value is PromiseLike<A> =>
  "then" in value && typeof value.then === "function"

/** Creates a client and adds the listeners in the same step, so that no event is missed. */
const makeHandle = <K, A extends object>({ closed, create }: PromiseClient<K, A>, key: K) =>
  Effect.suspend((): Effect.Effect<Handle<A>, ClientError> => {
    try {
      const made = create(key)
      return isPromise(made)
        ? awaited("create", () => made.then((client) => new Handle(client, closed)))
        : Effect.succeed(new Handle(made, closed))
    } catch (cause) {
      return Effect.fail(new ClientError({ operation: "create", cause }))
    }
  })

const connect = <K, A extends object>({ connect }: PromiseClient<K, A>, handle: Handle<A>, key: K) => {
  if (handle.broken !== undefined) return Effect.fail(handle.broken)
  const connecting = Effect.map(awaited("connect", (signal) => connect(handle.client, key, signal)), () => {
    handle.isConnected = true
    handle.emitted = undefined
    return handle.client
  })
  return Effect.mapError(
    connecting,
    (error) =>
      handle.emitted === undefined ? error : new ClientError({ operation: "connect", cause: handle.emitted.error })
  )
}

/**
 * Closes gracefully, and returns whether that has succeeded within `closeTimeout`. A failure is logged, because there is no
 * caller who could get it.
 */
const closesInTime = (close: () => unknown): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const { closeTimeout } = yield* CloseTimeout
    const closed = yield* Effect.exit(timeoutOption(Effect.promise(() => Promise.resolve(close())), closeTimeout))
    if (Exit.isSuccess(closed)) return Option.isSome(closed.value)
    yield* report("Connector.fromPromise: close has failed, so that the client is destroyed", closed.cause)
    return false
  })

const end = <K, A extends object>({ close, destroy }: PromiseClient<K, A>, handle: Handle<A>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { client, isClosed, isConnected, isUnfit } = handle
    const isGraceful = close !== undefined && isConnected && !isClosed && !isUnfit
    if (!(isGraceful && (yield* closesInTime(() => close(client))))) {
      yield* Effect.promise(() => Promise.resolve(destroy(client)))
    }
    handle.unsubscribe()
  })

/** Whether the client may be leased again. */
const isFit = <K, A extends object>(
  { isReusable, reuseAfterInterruption }: PromiseClient<K, A>,
  client: A,
  exit: Exit.Exit<unknown, unknown> | undefined
): boolean =>
  (exit === undefined || reuseAfterInterruption === true || isCleanExit(exit)) && isReusable?.(client, exit) !== false

/** The parts of a connector for clients of promises. */
export const connectorOf = <K, A extends object>(options: PromiseClient<K, A>) => {
  const { check, closed } = options
  const handles = new WeakMap<A, Handle<A>>()
  const markUnfit = (client: A) => {
    const handle = handles.get(client)
    if (handle !== undefined) handle.isUnfit = true
  }
  const open = (key: K): Effect.Effect<A, ClientError, Scope.Scope> =>
    Effect.flatMap(Effect.acquireRelease(makeHandle(options, key), (handle) => end(options, handle)), (handle) => {
      handles.set(handle.client, handle)
      return connect(options, handle, key)
    })
  return {
    open,
    check: check && ((client: A) =>
      // A client that has failed its check is destroyed, because it would not close gracefully.
      Effect.asVoid(Effect.onExitPrimitive(awaited("check", (signal) => check(client, signal)), (exit) => {
        if (Exit.isFailure(exit)) markUnfit(client)
        return undefined
      }))),
    closed: closed && ((client: A) => handles.get(client)?.untilClosed ?? Effect.void),
    isReusable: (client: A, exit?: Exit.Exit<unknown, unknown>): boolean => {
      const handle = handles.get(client)
      if (handle === undefined || handle.isClosed) return false
      const wasUnfit = handle.isUnfit
      // If `isReusable` throws, this stays set.
      handle.isUnfit = true
      const isReusable = isFit(options, client, exit)
      handle.isUnfit = wasUnfit || !isReusable
      return isReusable
    }
  }
}
