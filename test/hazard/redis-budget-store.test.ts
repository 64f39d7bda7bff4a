/**
 * The store of a budget stops for 10 seconds, or for longer than a lease: a real server that is stopped or killed, under each rule for that time.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import type { OnStoreError } from "effect-sluice/RedisBudget"
import { budget, during, observe, take, type Taken } from "../support/Budgets.ts"
import * as Servers from "../support/Servers.ts"

const it = Servers.needs("redis-server")

const limit = 6

/** Signals the server at a port, which keeps running. */
const signal = (pid: number, name: NodeJS.Signals) => Effect.sync(() => process.kill(pid, name))

const pidOf = (port: number) =>
  Effect.scoped(
    Effect.flatMap(observe(port), (client) =>
      Effect.promise(async () => Number(/process_id:(\d+)/.exec(await client.info("server"))?.[1])))
  )

/** Takes permits until one is refused. */
const takeAll = (from: Parameters<typeof take>[0], most: number) =>
  Effect.gen(function*() {
    const taken: Array<Taken> = []
    while (taken.length < most) {
      const exit = yield* Effect.exit(take(from))
      if (Exit.isFailure(exit)) break
      taken.push(exit.value)
    }
    return taken
  })

/** How many new permits a process with 2 permits gets while the store is away, of 10 that it asks for, with 2 instances. */
const expected: Record<OnStoreError, number> = { share: 1, fail: 0, allow: 10 }

for (const onStoreError of ["share", "fail", "allow"] as const) {
  for (const how of ["SIGSTOP", "SIGKILL"] as const) {
    describe.concurrent(`a store that is away for 10 seconds (${how})`, () => {
      it(
        `gives ${expected[onStoreError]} of 10 further permits with "${onStoreError}", and works again when it is back`,
        () =>
          Effect.gen(function*() {
            const server = yield* Servers.redis()
            const pid = yield* pidOf(server.port)
            const own = yield* budget({
              port: server.port,
              key: "away",
              connections: limit,
              maxInstances: 2,
              lease: "60 seconds",
              storeTimeout: "300 millis",
              onStoreError
            })
            const before = [yield* take(own), yield* take(own)]
            const lost: Array<string> = []
            for (const { permit } of before) {
              yield* Effect.forkScoped(
                Effect.andThen(permit.lost ?? Effect.never, Effect.sync(() => lost.push("a lease")))
              )
            }
            if (how === "SIGSTOP") yield* signal(pid, "SIGSTOP")
            else yield* server.kill("SIGKILL")
            const began = performance.now()
            const during = yield* takeAll(own, 10)
            // Only the first call waits for its deadline.
            assert.isAtMost(performance.now() - began, 2500)
            assert.strictEqual(during.length, expected[onStoreError])
            for (const { permit } of during) assert.isUndefined(permit.token)
            yield* Effect.sleep(10_000 - (performance.now() - began))
            assert.deepStrictEqual(lost, [], "leases stay valid")
            if (how === "SIGSTOP") yield* signal(pid, "SIGCONT")
            else yield* server.restart
            const back = performance.now()
            yield* Effect.repeat(Effect.andThen(Effect.sleep("100 millis"), Effect.exit(own.inspect)), {
              until: (exit) => Exit.isSuccess(exit),
              times: 100
            })
            yield* Effect.sleep("3 seconds")
            const { used } = yield* own.inspect
            process.stdout.write(
              `${JSON.stringify({ onStoreError, how, got: during.length, used, back: performance.now() - back })}\n`
            )
            assert.isAtMost(used, limit)
            // What the server has run after it went on, for requests that had given up, is given back.
            if (how === "SIGSTOP") assert.strictEqual(used, Math.min(2 + during.length, limit))
            for (const { giveBack } of [...before, ...during]) yield* giveBack
            assert.strictEqual((yield* own.inspect).used, 0)
          }).pipe(Effect.scoped),
        60_000
      )
    })
  }
}

/** How many of 4 permits a process loses whose leases end while the store is away: the limit is 4, and there are 2 instances. */
const losses: Record<OnStoreError, number> = { share: 2, fail: 4, allow: 0 }

for (const onStoreError of ["share", "fail", "allow"] as const) {
  describe.concurrent("a store that is away for longer than a lease", () => {
    it(
      `takes ${losses[onStoreError]} of 4 permits with "${onStoreError}", and has those that are left when it is back`,
      () =>
        Effect.gen(function*() {
          const server = yield* Servers.redis()
          const pid = yield* pidOf(server.port)
          const options = { port: server.port, key: "short", connections: 4, maxInstances: 2, onStoreError }
          const own = yield* budget({ ...options, lease: "3 seconds", storeTimeout: "300 millis" })
          const lost: Array<string | undefined> = []
          const before = yield* takeAll(own, 4)
          for (const { permit } of before) {
            yield* Effect.forkScoped(
              Effect.andThen(permit.lost ?? Effect.never, Effect.sync(() => lost.push(permit.token)))
            )
          }
          // Longer than a lease, so that they are renewed.
          yield* Effect.sleep("4 seconds")
          assert.deepStrictEqual(lost, [])
          yield* signal(pid, "SIGSTOP")
          yield* Effect.sleep("5 seconds")
          assert.strictEqual(new Set(lost).size, losses[onStoreError])
          yield* signal(pid, "SIGCONT")
          // A permit that was kept asks for a lease once in a second.
          yield* Effect.sleep("4 seconds")
          // The store counts a permit until a request comes after the end of its lease.
          yield* own.reap
          const { holders, used } = yield* own.inspect
          assert.strictEqual(lost.length, losses[onStoreError])
          assert.strictEqual(used, 4 - losses[onStoreError])
          for (const { expiresIn } of holders) assert.isAbove(expiresIn, 0, "they have leases again")
          for (const { giveBack } of before) yield* giveBack
          assert.strictEqual((yield* own.inspect).used, 0)
        }).pipe(Effect.scoped),
      60_000
    )
  })
}

describe("a limit that is lowered and raised under load", () => {
  it(
    "is never exceeded by more than what was held when it was lowered, and is used when it is raised",
    () =>
      Effect.gen(function*() {
        const server = yield* Servers.redis()
        const own = yield* budget({ port: server.port, key: "live", connections: 20 })
        let [held, most] = [0, 0]
        const one = during(own, () =>
          Effect.gen(function*() {
            most = Math.max(most, ++held)
            yield* Effect.ensuring(Effect.sleep("20 millis"), Effect.sync(() => held--))
          }))
        const load = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 100 }), () => Effect.forever(one), { concurrency: "unbounded" })
        )
        const peaks: Array<readonly [limit: number, peak: number]> = []
        for (const to of [20, 5, 40, 1, 10]) {
          yield* own.setLimit(to)
          yield* Effect.sleep("300 millis")
          most = 0
          yield* Effect.sleep("700 millis")
          peaks.push([to, most])
        }
        yield* Fiber.interrupt(load)
        process.stdout.write(`${JSON.stringify(peaks)}\n`)
        for (const [to, peak] of peaks) assert.strictEqual(peak, to)
        assert.deepInclude(yield* own.inspect, { used: 0, waiting: 0 })
      }).pipe(Effect.scoped),
    60_000
  )
})
