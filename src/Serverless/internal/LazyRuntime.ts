/**
 * The services of a layer, built on first use and kept until they are closed.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { report } from "../../internal/UnhandledLog.ts"

/** One attempt to build the layer. */
interface Build<R, E> {
  readonly scope: Scope.Closeable
  readonly fiber: Fiber.Fiber<Context.Context<R>, E>
  /** How many fibers wait for it. */
  waiting: number
}

/**
 * Unlike a `ManagedRuntime`, it does not keep the failure of a build: if the first connect was refused, later requests must
 * build the layer again. For the same reason, a build for which no fiber waits is abandoned: it may hang.
 */
export class LazyRuntime<R, E> {
  readonly #layer: Layer.Layer<R, E>
  readonly #context: Context.Context<never>
  /** The scopes that are closing, by the fiber that closes them. */
  readonly #ending = new Map<Fiber.Fiber<void>, Scope.Closeable>()
  #build: Build<R, E> | undefined

  /** `context` is the context in which the layer is built. The context of the fiber that needs it first is not used. */
  constructor(layer: Layer.Layer<R, E>, context: Context.Context<never>) {
    this.#layer = layer
    this.#context = context
  }

  /** The services. Concurrent callers wait for the same build. */
  readonly services: Effect.Effect<Context.Context<R>, E> = Effect.suspend(() => {
    const build = this.#build ?? this.#start()
    const ended = build.fiber.pollUnsafe()
    if (ended !== undefined) return ended
    build.waiting++
    return Effect.onExit(Fiber.join(build.fiber), () =>
      Effect.sync(() => {
        build.waiting--
        if (build.waiting === 0 && build.fiber.pollUnsafe() === undefined) this.#abandon(build)
      }))
  })

  /**
   * Closes the services, or abandons their build. Completes when everything is closed, also the scopes of earlier calls. The
   * next use builds the layer again.
   */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    if (this.#build !== undefined) this.#end(this.#build)
    this.#build = undefined
    return Effect.asVoid(Fiber.awaitAll([...this.#ending.keys()]))
  })

  /** Closes the scopes that {@link close} cannot close yet, because it waits for a build that does not end. */
  readonly force: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      this.#ending.values(),
      // The fiber of `close` reports the failure.
      (scope) => Effect.exit(Scope.close(scope, Exit.void)),
      { concurrency: "unbounded", discard: true }
    )
  )

  #end(build: Build<R, E>): void {
    // The failure of a finalizer is reported, not returned, because the caller of `close` did not build the services.
    const ended = Effect.andThen(Fiber.interrupt(build.fiber), Scope.close(build.scope, Exit.void)).pipe(
      Effect.catchCause((cause) => report("WarmInstance: closing the layer failed", cause))
    )
    const fiber = Effect.runForkWith(this.#context)(Effect.uninterruptible(ended))
    this.#ending.set(fiber, build.scope)
    fiber.addObserver(() => this.#ending.delete(fiber))
  }

  #start(): Build<R, E> {
    const scope = Scope.makeUnsafe()
    const built = Layer.buildWithMemoMap(this.#layer, Layer.makeMemoMapUnsafe(), scope)
    // A build that fails closes what it acquired.
    const fiber = Effect.runForkWith(this.#context)(built)
    const build: Build<R, E> = { scope, fiber, waiting: 0 }
    this.#build = build
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit) && this.#build === build) this.#build = undefined
    })
    return build
  }

  #abandon(build: Build<R, E>): void {
    if (this.#build === build) this.#build = undefined
    // The interruption may take some time, for which `close` waits.
    this.#end(build)
  }
}
