/**
 * What was dropped instead of given back: found after a garbage collection, closed at the server, and its slot free again.
 * Each test is a process of its own, because only there a collection can be asked for.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

const main = Path.join(import.meta.dirname, "../Monitor/children/lost.ts")

interface Report {
  readonly active: number
  readonly found: boolean
  readonly next: string
  readonly scope: string
  readonly seen: { readonly opened: number; readonly ended: number; readonly open: number }
  readonly tracked: { readonly value: number }
  readonly leaks: ReadonlyArray<{ readonly _tag: string; readonly message: string }>
}

const run = (mode: string): Effect.Effect<Report> =>
  Effect.callback((resume) => {
    const child = ChildProcess.execFile(
      process.execPath,
      ["--expose-gc", "--no-warnings", main, mode],
      { timeout: 50_000 },
      (error, stdout, stderr) =>
        resume(
          error === null
            ? Effect.sync(() => JSON.parse(stdout) as Report)
            : Effect.die(new Error(`${error.message}\n${stderr}`))
        )
    )
    return Effect.sync(() => child.kill())
  })

/** The line of the child's source that borrows or connects. */
const lineWith = (text: string): string => {
  const index = Fs.readFileSync(main, "utf8").split("\n").findIndex((line) => line.includes(text))
  assert.isAtLeast(index, 0)
  return `lost.ts:${index + 1}:`
}

describe.concurrent("a dropped lease", { timeout: 60_000 }, () => {
  it.live("of a scope that nobody closes is reported, its socket is closed at the server, and its slot comes back", () =>
    Effect.gen(function*() {
      const { active, found, leaks, next, seen, tracked } = yield* run("scope")
      assert.deepStrictEqual([active, found, next], [1, true, "served"])
      // The server saw the end of the lost connection while the process was alive; the second one is the next borrower's.
      assert.deepStrictEqual(seen, { opened: 2, ended: 1, open: 1 })
      assert.strictEqual(tracked.value, 1)
      assert.deepStrictEqual(leaks.map(({ _tag }) => _tag), ["Lost"])
      assert.include(leaks[0]?.message, lineWith("    ConnectionPool.get(pool, endpoint).pipe"))
    }))

  it.live("that was reported for being held too long has not come back after all", () =>
    Effect.gen(function*() {
      const { found, leaks } = yield* run("held")
      assert.isTrue(found)
      assert.deepStrictEqual(leaks.map(({ _tag }) => _tag), ["Held", "Lost"])
    }))

  it.live("is found although the calling object leads to its scope", () =>
    Effect.gen(function*() {
      const { found, leaks, seen } = yield* run("owner")
      assert.isTrue(found)
      assert.deepStrictEqual(seen, { opened: 2, ended: 1, open: 1 })
      assert.include(leaks[0]?.message, `asked for by Owner.borrow (file://${main}`)
    }))

  it.live("of a fiber that is never resumed is reported and closed as well", () =>
    Effect.gen(function*() {
      const { active, found, leaks, next, seen } = yield* run("fiber")
      assert.deepStrictEqual([active, found, next], [1, true, "served"])
      assert.deepStrictEqual(seen, { opened: 2, ended: 1, open: 1 })
      assert.include(leaks[0]?.message, lineWith("ConnectionPool.use(pool, endpoint, () => Effect.callback"))
    }))

  it.live("does not take a connection from another borrower that shares it", () =>
    Effect.gen(function*() {
      const { found, leaks, seen } = yield* run("shared")
      assert.isTrue(found)
      assert.deepStrictEqual(seen, { opened: 1, ended: 0, open: 1 })
      assert.deepStrictEqual(leaks.map(({ _tag }) => _tag), ["Lost"])
    }))

  it.live("is none as long as somebody has the scope", () =>
    Effect.gen(function*() {
      const { found, leaks, next, scope, seen } = yield* run("kept")
      assert.deepStrictEqual([found, scope, leaks.length], [false, "Open", 0])
      assert.match(next, /held longest by/)
      assert.deepStrictEqual(seen, { opened: 1, ended: 0, open: 1 })
    }))
})

describe.concurrent("a dropped connection", { timeout: 60_000 }, () => {
  it.live("is closed at the server and reported with the line that connected", () =>
    Effect.gen(function*() {
      const { active, found, leaks, seen, tracked } = yield* run("tcp")
      assert.deepStrictEqual([active, found], [1, true])
      assert.deepStrictEqual(seen, { opened: 1, ended: 1, open: 0 })
      assert.strictEqual(tracked.value, 0)
      assert.deepStrictEqual(leaks.map(({ _tag }) => _tag), ["Lost"])
      assert.include(leaks[0]?.message, lineWith("yield* TcpConnection.connect(endpoint)"))
    }))

  it.live("is none while a fiber reads from it, although its scope is gone", () =>
    Effect.gen(function*() {
      const { active, found, leaks, seen } = yield* run("reading")
      assert.deepStrictEqual([active, found, leaks.length], [1, false, 0])
      assert.deepStrictEqual(seen, { opened: 1, ended: 0, open: 1 })
    }))
})
