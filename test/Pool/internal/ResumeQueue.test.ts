import { assert, describe, it } from "@effect/vitest"
import { Effect, type Fiber } from "effect"
import { Lease } from "../../../src/Pool/internal/PoolState.ts"
import { ResumeQueue } from "../../../src/Pool/internal/WaitQueue.ts"

/** Leases without an endpoint, which is not what going on is about. */
const leases = (count: number, fiber: Fiber.Fiber<unknown, unknown>, resume: (number: number) => void) =>
  Array.from(
    { length: count },
    (_, number): Lease<string, string> =>
      Object.assign(new Lease<string, string>({} as never, fiber, fiber.id, undefined), {
        resume: () => resume(number)
      })
  )

const turns = (count: number) => Effect.forEach(Array.from({ length: count }), () => Effect.sleep(0), { discard: true })

describe("ResumeQueue", () => {
  it.live("a batch goes on although nothing leads to the fibers of those who are next", () =>
    Effect.withFiber((fiber) =>
      Effect.gen(function*() {
        const resumeQueue = new ResumeQueue<string, string>()
        const seen: Array<number> = []
        for (const lease of leases(600, fiber, (number) => void seen.push(number))) {
          lease.fiber = undefined
          resumeQueue.add(lease, undefined)
        }
        yield* turns(10)
        assert.deepStrictEqual(seen, Array.from({ length: 600 }, (_, number) => number))
      })
    ))

  it.live("a lease leads to its borrower until that has gone on, and no longer", () =>
    Effect.withFiber((fiber) =>
      Effect.gen(function*() {
        const resumeQueue = new ResumeQueue<string, string>()
        let seen = 0
        const [lease] = leases(1, fiber, () => void seen++)
        assert.isDefined(lease)
        resumeQueue.add(lease, undefined)
        assert.isDefined(lease.resume)
        yield* turns(2)
        assert.strictEqual(seen, 1)
        assert.isUndefined(lease.resume)
      })
    ))
})
