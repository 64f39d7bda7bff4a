/**
 * Permits that a process takes at once and divides among its connections.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import {
  type BudgetError,
  type ConnectionBudget,
  makeInMemory,
  type Permit,
  type PermitRequest
} from "../../../Pool/ConnectionBudget.ts"

/** Permits that were taken at once, until their scope is closed. */
interface Group {
  readonly permit: Permit
  readonly scope: Scope.Closeable
}

/** What a divided budget is made from. */
export interface DivideOptions {
  readonly permits: number
  /** Takes all of them at once. */
  readonly takeAll: (request: PermitRequest) => Effect.Effect<Permit, BudgetError, Scope.Scope>
  readonly lease: number | undefined
  /** At its end the permits are given back. */
  readonly scope: Scope.Scope
}

/** The first request takes all permits, and the last one that ends gives them back. */
export class Divided implements ConnectionBudget {
  readonly #options: DivideOptions
  readonly #parts: ConnectionBudget
  readonly #lock = Semaphore.makeUnsafe(1)
  #group: Group | undefined
  /** Requests that hold a part or want one. */
  #requests = 0

  constructor(options: DivideOptions) {
    this.#options = options
    this.#parts = makeInMemory(options.permits)
  }

  get lease(): number | undefined {
    return this.#options.lease
  }

  take(request: PermitRequest): Effect.Effect<Permit, BudgetError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      yield* Effect.acquireRelease(Effect.sync(() => this.#requests++), () => this.#end)
      yield* this.#parts.take(request)
      // Only one request asks. The others wait for it within their own time, and ask themselves if it fails.
      return yield* this.#lock.withPermits(1)(Effect.suspend(() => this.#present(request)))
    })
  }

  #present(request: PermitRequest): Effect.Effect<Permit, BudgetError> {
    return this.#group === undefined ? this.#takeAll(request) : Effect.succeed(this.#group.permit)
  }

  #takeAll(request: PermitRequest): Effect.Effect<Permit, BudgetError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const { scope: whole, takeAll } = this.#options
        const scope = yield* Scope.fork(whole)
        const permit = yield* restore(Scope.provide(takeAll(request), scope)).pipe(
          Effect.onError(() => Scope.close(scope, Exit.void))
        )
        const group = { permit, scope }
        this.#group = group
        if (permit.lost !== undefined) {
          // The next request takes others. The fiber that waits ends with the scope, so another one closes that.
          const replaced = Effect.forkIn(Effect.suspend(() => this.#leave(group)), whole)
          yield* Effect.forkIn(Effect.andThen(permit.lost, replaced), scope)
        }
        return permit
      })
    )
  }

  #leave(group: Group): Effect.Effect<void> {
    if (this.#group === group) this.#group = undefined
    return Scope.close(group.scope, Exit.void)
  }

  readonly #end: Effect.Effect<void> = Effect.suspend(() => {
    this.#requests--
    return this.#requests === 0 && this.#group !== undefined ? this.#leave(this.#group) : Effect.void
  })
}
