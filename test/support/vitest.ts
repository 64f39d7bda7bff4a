/**
 * What the tests of this project import as `@effect/vitest`: the same, and every test that is an effect fails when it leaves
 * a connection or a lease open. `vitest.config.ts` puts it in place, so that no test has to say so.
 */
import type { Vitest } from "@effect/vitest"
import { Effect, Scheduler } from "effect"
import * as Original from "../../node_modules/@effect/vitest/dist/index.js"
import * as LeakCheck from "../../src/Testing/LeakCheck.ts"

export * from "../../node_modules/@effect/vitest/dist/index.js"

type Run = (...args: ReadonlyArray<never>) => unknown

/**
 * Fibers pause as they do in a program. The scheduler of `TestClock` hides how they do, and a pool that cannot foresee when a fiber
 * pauses borrows in another way.
 */
const asInPrograms = <A, E>(test: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.updateService(
    test,
    Scheduler.Scheduler,
    (scheduler) =>
      Object.assign(new Scheduler.MixedScheduler(scheduler.executionMode), {
        makeDispatcher: () => scheduler.makeDispatcher()
      })
  )

/** Registers a test that is checked. Its types are those of what it wraps; how a test is registered has many shapes. */
const checking = <Register extends Run>(register: Register): Register =>
  ((name: never, self: (...args: ReadonlyArray<never>) => Effect.Effect<never>, options: never) => {
    const test = LeakCheck.test(self)
    return register(name, ((...args: ReadonlyArray<never>) => asInPrograms(test(...args))) as never, options)
  }) as unknown as Register

const checkingTester = <R>(tester: Vitest.Tester<R>): Vitest.Tester<R> =>
  Object.assign(checking(tester), {
    skip: tester.skip,
    fails: tester.fails,
    prop: tester.prop,
    only: checking(tester.only),
    skipIf: (condition: unknown) => checking(tester.skipIf(condition)),
    runIf: (condition: unknown) => checking(tester.runIf(condition)),
    each: <T>(cases: ReadonlyArray<T>) => checking(tester.each(cases))
  })

const checked = {
  effect: checkingTester(Original.it.effect),
  live: checkingTester(Original.it.live)
}

export const it: typeof Original.it = new Proxy(Original.it, {
  get: (target, property) =>
    Object.hasOwn(checked, property) ? Reflect.get(checked, property) : Reflect.get(target, property)
})
