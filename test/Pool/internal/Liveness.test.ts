import { assert, describe, it } from "@effect/vitest"
import { Data, Deferred, Effect, Exit, Fiber, Latch } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import * as LineServer from "../../support/LineServer.ts"
import { fork, hold, id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"
import { stall } from "../../support/stall.ts"
import * as TcpServer from "../../support/TcpServer.ts"

class Lost extends Data.TaggedError("Lost") {}

/** How a client learns that its connection has ended, after it has failed what was pending: each some time later. */
const waysToLearn: Record<string, (died: Deferred.Deferred<void>) => void> = {
  "in the same step": (died) => Deferred.doneUnsafe(died, Exit.void),
  "in a microtask": (died) => queueMicrotask(() => Deferred.doneUnsafe(died, Exit.void)),
  "in the next tick": (died) => process.nextTick(() => Deferred.doneUnsafe(died, Exit.void)),
  "in an immediate": (died) => setImmediate(() => Deferred.doneUnsafe(died, Exit.void)),
  "in a fiber": (died) => void Effect.runFork(Effect.andThen(Effect.yieldNow, Deferred.succeed(died, undefined))),
  "through a latch": (died) => {
    const latch = Latch.makeUnsafe(false)
    Effect.runFork(Effect.andThen(latch.await, Deferred.succeed(died, undefined)))
    Effect.runFork(latch.open)
  }
}

/** A client whose first connection ends after its first answer, while something is pending. It has `closed` alone. */
const endingOnce = (learn: (died: Deferred.Deferred<void>) => void) => {
  let opened = 0
  const connector = Connector.make({
    open: (_key: string) =>
      Effect.acquireRelease(
        Effect.sync(() => ({ id: ++opened, answers: 0, isDead: false, died: Deferred.makeUnsafe<void>() })),
        () => Effect.void
      ),
    closed: (connection: Connection) => Deferred.await(connection.died)
  })
  interface Connection {
    readonly id: number
    answers: number
    isDead: boolean
    readonly died: Deferred.Deferred<void>
  }
  const ask = (connection: Connection): Effect.Effect<number, Lost> =>
    Effect.suspend(() => {
      if (connection.isDead) return Effect.fail(new Lost())
      if (connection.id > 1 || ++connection.answers === 1) return Effect.succeed(connection.id)
      return Effect.callback((resume) => {
        setImmediate(() => {
          connection.isDead = true
          // The borrower goes on in here, and may be back at the pool before the client comes to the next line.
          resume(Effect.fail(new Lost()))
          learn(connection.died)
        })
      })
    })
  return { connector, ask }
}

const failures = <A, E>(exits: ReadonlyArray<Exit.Exit<A, E>>): number => exits.filter(Exit.isFailure).length

describe("a connection that its client knows to be dead", () => {
  for (const [how, learn] of Object.entries(waysToLearn)) {
    it.live(`fails one borrow of a fiber that borrows in a loop: closed completes ${how}`, () =>
      test(Effect.gen(function*() {
        const { ask, connector } = endingOnce(learn)
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
        const exits: Array<Exit.Exit<number, unknown>> = []
        for (let time = 0; time < 20; time++) exits.push(yield* Effect.exit(ConnectionPool.use(pool, "a", ask)))
        // The one that was under way has learnt of the death.
        assert.strictEqual(failures(exits), 1)
        assert.deepStrictEqual(exits.map(Exit.isSuccess).slice(0, 3), [true, false, true])
      })))

    it.live(`fails one of 50 borrowers in line: closed completes ${how}`, () =>
      test(Effect.gen(function*() {
        const { ask, connector } = endingOnce(learn)
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
        yield* ConnectionPool.use(pool, "a", ask)
        const exits = yield* Effect.all(
          Array.from({ length: 50 }, () => Effect.exit(ConnectionPool.use(pool, "a", ask))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(failures(exits), 1)
      })))
  }
})

/** A connector of lines that says of its connections only that they have died. */
const lines = Connector.make({
  open: TcpConnection.connector().open,
  closed: (connection: TcpConnection.TcpConnection) => connection.dead
})

const ask = (question: string) => (connection: TcpConnection.TcpConnection) =>
  Effect.gen(function*() {
    yield* connection.write(`${question}\n`)
    let answer = ""
    while (!answer.endsWith("\n")) answer += new TextDecoder().decode(yield* connection.read)
    return answer.trim()
  })

const makeLines = (maxPerEndpoint = 1) => ConnectionPool.make({ connector: lines, maxPerEndpoint })

/** A server that ends each connection with its answer of this number; all but the first so many milliseconds later. */
const ending = (number: number, later = 0) => {
  let connections = 0
  return TcpServer.make((socket) => {
    const delay = ++connections === 1 ? 0 : later
    let answers = 0
    socket.on("data", (data) => {
      const answer = `${LineServer.answerTo(String(data).trim())}\n`
      if (++answers !== number) socket.write(answer)
      else if (delay === 0) socket.end(answer)
      else {
        socket.write(answer)
        setTimeout(() => socket.end(), delay)
      }
    })
  })
}

describe("a connection whose end the kernel knows of", () => {
  it.live("is not leased when the event loop was busy while the server closed it", () =>
    test(Effect.gen(function*() {
      for (const farewell of [undefined, "timeout\n"]) {
        const to = yield* LineServer.make({ idleMillis: 30, ...(farewell === undefined ? {} : { farewell }) })
        const pool = yield* makeLines()
        for (let time = 0; time < 4; time++) {
          assert.strictEqual(yield* ConnectionPool.use(pool, to, ask("a")), "answer to a")
          if (time % 2 === 0) yield* Effect.sleep("1 millis")
          stall(80)
        }
        assert.strictEqual((yield* ConnectionPool.stats(pool)).opened, 4)
      }
    })))

  it.live("is not handed over when its borrower kept the loop busy while the server closed it", () =>
    test(Effect.gen(function*() {
      const to = yield* LineServer.make({ idleMillis: 30 })
      const pool = yield* makeLines()
      const stalling = ConnectionPool.use(
        pool,
        to,
        (connection) => Effect.tap(ask("a")(connection), () => Effect.sync(() => stall(80)))
      )
      const answers = yield* Effect.all([stalling, ConnectionPool.use(pool, to, ask("b"))], { concurrency: 2 })
      assert.deepStrictEqual(answers, ["answer to a", "answer to b"])
    })))

  it.live("is not leased when the server ends each one together with its answer", () =>
    test(Effect.gen(function*() {
      const { account, endpoint } = yield* ending(1)
      const pool = yield* makeLines()
      const rounds = 60
      for (let time = 0; time < rounds; time++) {
        assert.strictEqual(yield* ConnectionPool.use(pool, endpoint, ask(`${time}`)), `answer to ${time}`)
      }
      assert.strictEqual(account.opened, rounds)
    })))

  it.live("is leased once at most when the server ends each one together with its third answer", () =>
    test(Effect.gen(function*() {
      const { endpoint } = yield* ending(3)
      const pool = yield* makeLines()
      const exits: Array<Exit.Exit<string, unknown>> = []
      for (let time = 0; time < 60; time++) {
        exits.push(yield* Effect.exit(ConnectionPool.use(pool, endpoint, ask("a"))))
      }
      // The first one that ends so is the first to show that they do.
      assert.isAtMost(failures(exits), 1)
    })))

  it.live("is not leased to any of 50 in line when the server ends each one together with its answer", () =>
    test(Effect.gen(function*() {
      const { endpoint } = yield* ending(1)
      const pool = yield* makeLines(2)
      const questions = Array.from({ length: 50 }, (_, number) => `${number}`)
      const answers = yield* Effect.forEach(
        questions,
        (question) => ConnectionPool.use(pool, endpoint, ask(question)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(answers, questions.map((question) => `answer to ${question}`))
    })))

  it.live("is not leased although a server without the processor ends each one a while after its answer", () =>
    test(Effect.gen(function*() {
      const { account, endpoint } = yield* ending(1, 5)
      const pool = yield* makeLines()
      for (let time = 0; time < 20; time++) yield* ConnectionPool.use(pool, endpoint, ask("a"))
      assert.strictEqual(account.opened, 20)
    })))

  it.live("is not leased although the event loop is blocked while a borrower waits for its end", () =>
    test(Effect.gen(function*() {
      const { account, endpoint } = yield* ending(1, 15)
      const pool = yield* makeLines()
      yield* ConnectionPool.use(pool, endpoint, ask("a"))
      for (let time = 0; time < 10; time++) {
        // The borrower waits from the first turns to the 20th millisecond, and the server ends the connection in the 15th. So the timers of
        // both are due in one turn.
        setTimeout(() => stall(40), 8)
        yield* ConnectionPool.use(pool, endpoint, ask("a"))
      }
      assert.strictEqual(account.opened, 11)
    })))

  it.live("is not leased where it is one of JSON-RPC that ends with every answer", () =>
    test(Effect.gen(function*() {
      const { endpoint } = yield* ending(1)
      const pool = yield* ConnectionPool.make({ connector: JsonRpcClient.connector(), maxPerEndpoint: 1 })
      for (let time = 0; time < 40; time++) {
        assert.strictEqual(yield* ConnectionPool.use(pool, endpoint, (client) => client.request("hello")), "hello")
      }
    })))
})

/** How often the event loop goes round while an effect runs. */
const turnsDuring = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    let turns = 0
    let isOver = false
    const count = () => {
      if (isOver) return
      turns++
      setImmediate(count)
    }
    setImmediate(count)
    return Effect.map(Effect.ensuring(effect, Effect.sync(() => isOver = true)), () => turns)
  })

describe("the turn before a lease", () => {
  it.live("is not made where a connection goes on in the same step", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const twice = Effect.andThen(ConnectionPool.use(pool, "a", id), ConnectionPool.use(pool, "a", id))
      // Of an endpoint of which nothing is known, the first answer may be the last.
      yield* twice
      yield* ConnectionPool.use(pool, "a", id)
      let turns = 0
      for (let time = 0; time < 20; time++) {
        yield* Effect.yieldNow
        yield* ConnectionPool.use(pool, "a", id)
        turns += yield* turnsDuring(ConnectionPool.use(pool, "a", id))
      }
      // A millisecond may be over in between.
      assert.isBelow(turns, 20)
    })))

  it.live("is made where a connection was idle over a turn", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      for (let time = 0; time < 5; time++) {
        yield* ConnectionPool.use(pool, "a", id)
        yield* Effect.sleep("2 millis")
        assert.isAtLeast(yield* turnsDuring(ConnectionPool.use(pool, "a", id)), 1)
      }
    })))

  it.live("is not made where a connector can say nothing of its connections", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector: { open: connector.open }, maxPerEndpoint: 1 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* Effect.sleep("2 millis")
      assert.strictEqual(yield* turnsDuring(ConnectionPool.use(pool, "a", id)), 0)
    })))

  it.effect("can be interrupted, and the connection is for the next in line, who lets the loop turn as well", () =>
    test(Effect.gen(function*() {
      const { connector, kill, ledger, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      const first = yield* fork(ConnectionPool.use(pool, "a", () => Effect.die("it was interrupted before")))
      const second = yield* fork(ConnectionPool.use(pool, "a", id))
      first.interruptUnsafe()
      for (const connection of ledger.live) yield* kill(connection)
      assert.strictEqual(yield* Fiber.join(second), 2)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(first)))
      assert.strictEqual(openNow(), 1)
    })))

  const borrows = {
    use: (pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted>) => ConnectionPool.use(pool, "a", id),
    get: (pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted>) =>
      Effect.scoped(Effect.flatMap(ConnectionPool.get(pool, "a"), id))
  }
  for (const [name, borrow] of Object.entries(borrows)) {
    it.effect(`is made by the next in line also where the endpoint is trusted and the first is interrupted: ${name}`, () =>
      test(Effect.gen(function*() {
        const { connector, kill, ledger } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
        yield* borrow(pool)
        yield* borrow(pool)
        yield* settle
        yield* TestClock.adjust(1)
        const used: Array<number> = []
        const first = yield* fork(borrow(pool))
        const others = yield* Effect.forEach(
          [1, 2],
          () => fork(Effect.tap(borrow(pool), (number) => Effect.sync(() => used.push(number))))
        )
        first.interruptUnsafe()
        others[0]?.interruptUnsafe()
        yield* Effect.promise(() => Promise.resolve())
        assert.deepStrictEqual(used, [])
        for (const connection of ledger.live) yield* kill(connection)
        yield* Fiber.awaitAll(others)
        assert.deepStrictEqual(used, [2])
      })))
  }

  it.effect("keeps the order: one whose connection has died is served before those that came after it", () =>
    test(Effect.gen(function*() {
      const { connector, kill, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      const order: Array<number> = []
      const fibers = yield* Effect.forEach(
        [1, 2, 3],
        (number) => fork(ConnectionPool.use(pool, "a", () => Effect.sync(() => order.push(number))))
      )
      for (const connection of ledger.live) yield* kill(connection)
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(order, [1, 2, 3])
    })))

  for (const acquireTimeout of [undefined, "1 second"] as const) {
    for (const direction of [1, -1]) {
      it.effect(`keeps the order of several whose connections have died: ${acquireTimeout}, direction ${direction}`, () =>
        test(Effect.gen(function*() {
          const { connector, kill, ledger, steps } = Scripted.make()
          const pool = yield* ConnectionPool.make({
            connector,
            maxPerEndpoint: 4,
            ...(acquireTimeout === undefined ? {} : { acquireTimeout })
          })
          const latch = yield* Deferred.make<void>()
          const holders = yield* Effect.forEach([1, 2, 3, 4], () => fork(hold(pool, "a", latch)))
          yield* settle
          yield* Deferred.succeed(latch, undefined)
          yield* Fiber.joinAll(holders)
          yield* settle
          const reachable = yield* Deferred.make<void>()
          steps.open = () => Deferred.await(reachable)
          const order: Array<number> = []
          const numbers = [1, 2, 3, 4, 5, 6]
          const fibers = yield* Effect.forEach(
            numbers,
            (number) => fork(ConnectionPool.use(pool, "a", () => Effect.sync(() => order.push(number))))
          )
          const live = [...ledger.live].toSorted((a, b) => direction * (a.id - b.id))
          assert.strictEqual(live.length, 4)
          for (const connection of live) yield* kill(connection)
          yield* settle
          yield* Deferred.succeed(reachable, undefined)
          yield* Fiber.joinAll(fibers)
          assert.deepStrictEqual(order, numbers)
        })))
    }
  }

  it.effect("costs nothing of the deadline, which counts from the borrow", () =>
    test(Effect.gen(function*() {
      const { connector, kill, ledger, steps } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, acquireTimeout: "1 second" })
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      steps.open = () => Effect.never
      const borrower = yield* fork(Effect.exit(ConnectionPool.use(pool, "a", id)))
      for (const connection of ledger.live) yield* kill(connection)
      yield* settle
      yield* TestClock.adjust("999 millis")
      yield* settle
      assert.isUndefined(borrower.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.isDefined(borrower.pollUnsafe())
      yield* ConnectionPool.drain(pool, 0)
    })))

  it.effect("is made by each of those that share a connection that may have died unseen", () =>
    test(Effect.gen(function*() {
      const { connector, kill, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, concurrency: 3 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      const fibers = yield* Effect.forEach([1, 2, 3], () => fork(ConnectionPool.use(pool, "a", id)))
      for (const connection of ledger.live) yield* kill(connection)
      assert.deepStrictEqual(yield* Fiber.joinAll(fibers), [2, 2, 2])
    })))
})

describe("a leased connection that has died", () => {
  it.effect("gives its slot back at once, whatever its borrower goes on with", () =>
    test(Effect.gen(function*() {
      const { connector, kill, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 1 })
      // One that was of use to no borrower yet is followed by a delay.
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      const next = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      for (const connection of ledger.live) yield* kill(connection)
      yield* settle
      assert.strictEqual(yield* Fiber.join(next), 2)
      assert.strictEqual(ledger.peakTotal, 1)
      assert.isUndefined(holder.pollUnsafe())
      yield* Deferred.succeed(latch, undefined)
      assert.strictEqual(yield* Fiber.join(holder), 1)
      const { active, closing, idle, total } = yield* ConnectionPool.stats(pool)
      assert.deepStrictEqual({ active, closing, idle, total }, { active: 0, closing: 0, idle: 1, total: 1 })
    })))
})
