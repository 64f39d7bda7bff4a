import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Descriptors from "../../../src/Monitor/readings/Descriptors.ts"
import * as Probes from "../../../src/Monitor/readings/Probes.ts"
import { ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import * as Sampler from "../../../src/Monitor/readings/Sampler.ts"
import { countDescriptors } from "../../support/descriptors.ts"
import { type Script, system } from "../support.ts"

describe("the kind of a descriptor", () => {
  const rows = [
    ["socket:[12345]", "socket"],
    ["pipe:[12345]", "pipe"],
    ["anon_inode:[eventpoll]", "eventpoll"],
    ["anon_inode:[eventfd]", "eventfd"],
    ["anon_inode:inotify", "inotify"],
    ["anon_inode:[io_uring]", "io_uring"],
    ["/memfd:cache (deleted)", "memory"],
    ["/dev/null", "device"],
    ["/dev/pts/0", "device"],
    ["/dev/shm/buffer", "file"],
    ["/var/log/app.log (deleted)", "file"],
    ["/home/socket:[1]", "file"],
    ["mnt:[4026531841]", "other"],
    ["", "other"]
  ] as const
  it.each(rows)("%s is %s", (target, kind) => assert.strictEqual(Descriptors.kindOf(target), kind))
})

const directory = "/proc/self/fd"

const looking = (overrides: Partial<Script>) =>
  Effect.gen(function*() {
    const made = system({ files: { "/dev/null": "" }, ...overrides })
    const { files, held } = yield* Effect.provideService(Probes.make, ProcReader, made.reader)
    return { ...made, files, held, take: Descriptors.take(made.reader, files) }
  })

const linksOf = (targets: ReadonlyArray<string>) => ({
  names: { [directory]: targets.map((_, i) => String(i + 1000)) },
  targets: Object.fromEntries(targets.map((target, i) => [`${directory}/${i + 1000}`, target]))
})

const inOrder = ({ kinds }: Descriptors.DescriptorBreakdown) =>
  Object.fromEntries(Array.from(kinds).toSorted(([left], [right]) => left < right ? -1 : 1))

describe("a descriptor breakdown", () => {
  it.effect("counts by kind, without the directory that it lists, what is held, and what is gone by now", () =>
    Effect.gen(function*() {
      const { names, targets } = linksOf(["pipe:[1]", "socket:[2]", "socket:[3]", "/proc/4242/fd", "/tmp/x"])
      const { files, held, take } = yield* looking({
        // 100 to 103 are held: the scripted system numbers from 100.
        names: { [directory]: [...names[directory] ?? [], "101", "102", "103", "555", "nonsense"] },
        targets: { ...targets, [`${directory}/101`]: "/proc/4242/limits" }
      })
      assert.deepStrictEqual([held, files.holds(101), files.holds(103), files.holds(104)], [4, true, true, false])
      const look = yield* take
      assert.deepStrictEqual(inOrder(look), { file: 1, pipe: 1, socket: 2 })
      assert.isTrue(look.isComplete)
    }))

  it.effect("asks the descriptors themselves where the entries are no links", () =>
    Effect.gen(function*() {
      const { take } = yield* looking({
        names: { "/dev/fd": ["0", "1", "2", "9"] },
        kinds: { 0: "device", 1: "pipe", 2: "socket" }
      })
      assert.deepStrictEqual(inOrder(yield* take), { device: 1, pipe: 1, socket: 1 })
    }))

  it.effect("fails with the reading that says why", () =>
    Effect.gen(function*() {
      const hidden = yield* looking({})
      assert.deepInclude(yield* Effect.flip(hidden.take), { _tag: "Unknown", reason: "Missing" })
      const full = yield* looking({ names: { [directory]: "EMFILE" } })
      assert.deepInclude(yield* Effect.flip(full.take), { _tag: "Saturated", code: "EMFILE" })
    }))

  it.effect("uses the spare's place when nothing is left, and gives it back, also when it is interrupted", () =>
    Effect.gen(function*() {
      const { calls, held, open, script, take } = yield* looking(linksOf(["socket:[1]"]))
      script.room = open.size
      assert.deepStrictEqual(inOrder(yield* take), { socket: 1 })
      assert.deepStrictEqual([open.size, calls.most], [held, held])
      const fiber = yield* Effect.forkChild(take, { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(open.size, held)
    }))

  it.effect("does not count itself while it is under way", () =>
    Effect.gen(function*() {
      const { files, open, reader } = yield* looking(linksOf(["socket:[1]"]))
      const before = files.count
      const counts: Array<readonly [held: number, open: number]> = []
      const telling: ProcReader = Object.assign({}, reader, {
        targetsLater: (paths: ReadonlyArray<string>) => {
          counts.push([files.count, open.size])
          return reader.targetsLater(paths)
        }
      })
      yield* Descriptors.take(telling, files)
      assert.deepStrictEqual(counts, [[before, before]])
    }))

  it.effect("goes through 16 384 descriptors and says when there are more", () =>
    Effect.gen(function*() {
      const most = yield* looking(linksOf(Array.from({ length: 16_400 }, () => "socket:[1]")))
      const look = yield* most.take
      assert.deepStrictEqual([inOrder(look), look.isComplete], [{ socket: 16_384 }, false])
    }))

  it.live("finds 40 sockets and 30 files of this process", () =>
    Effect.gen(function*() {
      const before = countDescriptors()
      const probes = yield* Probes.make
      const reader = yield* ProcReader
      const first = yield* Descriptors.take(reader, probes.files)
      const held = Array.from({ length: 30 }, () => Fs.openSync(import.meta.filename, "r"))
      const server = Net.createServer()
      yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
      const sockets = yield* Effect.forEach(Array.from({ length: 20 }), () =>
        Effect.callback<Net.Socket>((resume) => {
          const socket = Net.connect((server.address() as Net.AddressInfo).port, "127.0.0.1")
          server.once("connection", () => resume(Effect.succeed(socket)))
        }))
      const second = yield* Descriptors.take(reader, probes.files)
      sockets.forEach((socket) => socket.destroy())
      server.close()
      held.forEach((descriptor) => Fs.closeSync(descriptor))
      const gained = (kind: string) => (second.kinds.get(kind) ?? 0) - (first.kinds.get(kind) ?? 0)
      assert.deepStrictEqual([gained("socket"), gained("file")], [41, 30])
      const total = Array.from(first.kinds.values()).reduce((sum, count) => sum + count, 0)
      assert.strictEqual(total, before)
    }))
})

describe("the shared breakdown", () => {
  const sampling = (options: Partial<Sampler.SamplerOptions> = {}) =>
    Effect.gen(function*() {
      let lists = 0
      const { reader, script } = system({ files: { "/dev/null": "" }, ...linksOf(["socket:[1]"]) })
      const counting: ProcReader = Object.assign({}, reader, {
        list: (path: string) => {
          lists++
          return reader.list(path)
        }
      })
      const probes = yield* Effect.provideService(Probes.make, ProcReader, counting)
      const sampler = yield* Sampler.make({ probes, connections: () => new Map(), onSample: () => {}, ...options })
      return { sampler, script, lists: () => lists }
    })

  it.effect("is taken at most once a minute, however many ask", () =>
    Effect.gen(function*() {
      const { lists, sampler } = yield* sampling()
      const [first, second] = yield* Effect.all([sampler.descriptorBreakdown, sampler.descriptorBreakdown], {
        concurrency: 2
      })
      assert.strictEqual(first, second)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* sampler.descriptorBreakdown, first)
      assert.strictEqual(lists(), 1)
      yield* TestClock.adjust("1 second")
      assert.notStrictEqual(yield* sampler.descriptorBreakdown, first)
      assert.strictEqual(lists(), 2)
    }))

  it.effect("goes on for the others when one stops waiting for it", () =>
    Effect.gen(function*() {
      const { lists, sampler } = yield* sampling()
      const first = yield* Effect.forkChild(sampler.descriptorBreakdown, { startImmediately: true })
      const second = yield* Effect.forkChild(sampler.descriptorBreakdown, { startImmediately: true })
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(inOrder(yield* Fiber.join(second)), { socket: 1 })
      assert.strictEqual(lists(), 1)
    }))

  it.effect("fails when the monitor is closed before it ends, or before it begins", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { sampler } = yield* Scope.provide(sampling(), scope)
      const looking = yield* Effect.forkChild(Effect.flip(sampler.descriptorBreakdown), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* Fiber.join(looking), { reason: "Stale" })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* Effect.flip(sampler.descriptorBreakdown), { reason: "Stale" })
    }))

  it.effect("is taken by the sampler only under pressure", () =>
    Effect.gen(function*() {
      let isUnderPressure = false
      const looks: Array<Descriptors.DescriptorBreakdown> = []
      const { lists } = yield* sampling({
        secondsToLimit: () => 0,
        isUnderPressure: () => isUnderPressure,
        onBreakdown: (look) => looks.push(look)
      })
      const pass = (seconds: number) =>
        Effect.forEach(
          Array.from({ length: seconds * 4 }),
          () => Effect.andThen(TestClock.adjust(250), Effect.yieldNow)
        )
      yield* pass(60)
      assert.strictEqual(lists(), 0)
      isUnderPressure = true
      yield* pass(10)
      assert.deepStrictEqual(looks.map(inOrder), [{ socket: 1 }])
      yield* pass(110)
      assert.strictEqual(looks.length, 2)
      assert.strictEqual(lists(), 2)
    }))
})
