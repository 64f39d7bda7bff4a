/**
 * The services of a layer, built when somebody first needs them and kept until they are closed.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { report } from "../../internal/Unhandled.ts"

/** One attempt to build the layer, and what came of it. */
interface Build<R, E> {
  readonly scope: Scope.Closeable
  readonly fiber: Fiber.Fiber<Context.Context<R>, E>
  /** Who waits for it. */
  waiting: number
}

/**
 * Unlike a `ManagedRuntime`, which remembers a build that failed and fails ever after, this one forgets it: an instance
 * whose first connect was refused must not be lost for all the requests that follow. A build that nobody waits for any more
 * is given up for the same reason: it may hang.
 */
export class LazyRuntime<R, E> {
  readonly #layer: Layer.Layer<R, E>
  readonly #context: Context.Context<never>
  /** What is being closed, and who does it. */
  readonly #ending = new Map<Fiber.Fiber<void>, Scope.Closeable>()
  #build: Build<R, E> | undefined

  /** The layer is built in this context, whoever asks first. */
  constructor(layer: Layer.Layer<R, E>, context: Context.Context<never>) {
    this.#layer = layer
    this.#context = context
  }

  /** The services. All that ask while the layer is being built wait for the same build. */
  readonly services: Effect.Effect<Context.Context<R>, E> = Effect.suspend(() => {
    const build = this.#build ?? this.#start()
    const ended = build.fiber.pollUnsafe()
    if (ended !== undefined) return ended
    build.waiting++
    return Effect.onExit(Fiber.join(build.fiber), () =>
      Effect.sync(() => {
        build.waiting--
        if (build.waiting === 0 && build.fiber.pollUnsafe() === undefined) this.#giveUp(build)
      }))
  })

  /**
   * Closes what was built, and gives up what is being built. It completes when nothing is left, of an earlier call neither.
   * The next who asks has it built anew.
   */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    if (this.#build !== undefined) this.#end(this.#build)
    this.#build = undefined
    return Effect.asVoid(Fiber.awaitAll([...this.#ending.keys()]))
  })

  /** Closes what {@link close} has not come to yet, because a build does not let itself be given up. */
  readonly force: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      this.#ending.values(),
      // What that comes to, whoever closes tells.
      (scope) => Effect.exit(Scope.close(scope, Exit.void)),
      { concurrency: "unbounded", discard: true }
    )
  )

  #end(build: Build<R, E>): void {
    // Whoever closes it is not who made it, and has no use for the failure of a finalizer.
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
    // A build that fails closes what it had by itself.
    const fiber = Effect.runForkWith(this.#context)(built)
    const build: Build<R, E> = { scope, fiber, waiting: 0 }
    this.#build = build
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit) && this.#build === build) this.#build = undefined
    })
    return build
  }

  #giveUp(build: Build<R, E>): void {
    if (this.#build === build) this.#build = undefined
    // It may take its time, in which whoever closes has to wait for it as well.
    this.#end(build)
  }
}
