import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import { added, compare, portsByInode, type ProcessSockets } from "../../../src/Testing/internal/DescriptorDiff.ts"
import * as LeakCheck from "../../../src/Testing/LeakCheck.ts"

const nothing: ProcessSockets = { ports: new Map(), kept: [] }

const child = Path.join(import.meta.dirname, "children/descriptors.ts")

const runChild = Effect.callback<{ readonly said: Record<string, ReadonlyArray<string>>; readonly port: number }>(
  (resume) => {
    const process_ = ChildProcess.execFile(
      process.execPath,
      ["--no-warnings", child],
      { timeout: 50_000 },
      (error, stdout, stderr) =>
        resume(
          error === null
            ? Effect.sync(() => JSON.parse(stdout))
            : Effect.die(new Error(`${error.message}\n${stderr}`))
        )
    )
    return Effect.sync(() => process_.kill())
  }
)

describe("a check with `descriptors`", () => {
  // The monitor opens the last of its files with its first sample, one second after its start.
  it.live("passes while a monitor around it takes its first sample", () =>
    Effect.sleep("1500 millis").pipe(
      LeakCheck.check({ descriptors: true, within: "100 millis" }),
      Effect.provide(Layer.fresh(ResourceMonitor.layer))
    ))
})

describe("what is compared", () => {
  it("is each descriptor as often as it is there", () => {
    const before = ["/a", "/a", "socket:[1]"]
    assert.deepStrictEqual(added(before, before, nothing), [])
    assert.deepStrictEqual(added(before, ["/a", "/a", "/a", "/b", "socket:[2]"], nothing), ["/a", "/b", "socket:[2]"])
    assert.deepStrictEqual(added(before, [], nothing), [])
  })

  it("is not what the runtime makes for itself", () => {
    const runtime = ["anon_inode:[eventpoll]", "anon_inode:inotify", "pipe:[7]", "pipe:[7]", "/dev/null"]
    assert.deepStrictEqual(added([], runtime, nothing), [])
    // One end of a pipe belongs to other code, and so does the second /dev/null.
    assert.deepStrictEqual(added([], ["pipe:[7]", "/dev/null", "/dev/null"], nothing), ["pipe:[7]", "/dev/null"])
  })

  it("is not a connection that is kept for the next request, and not its other side", () => {
    const ports = new Map([
      ["1", { localPort: 5000, remotePort: 80 }],
      ["2", { localPort: 80, remotePort: 5000 }],
      ["3", { localPort: 5001, remotePort: 80 }]
    ])
    const sockets = ["socket:[1]", "socket:[2]", "socket:[3]", "socket:[4]"]
    const kept = [{ localPort: 5000, remotePort: 80 }]
    assert.deepStrictEqual(added([], sockets, { ports, kept }), ["socket:[3]", "socket:[4]"])
  })

  it("reads the ports of the kernel's table, IPv4 and IPv6, and nothing from nonsense", () => {
    const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    const four =
      "   0: 0100007F:251C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 346470 1 0 100 0 0 10 0"
    const six = "   1: 00000000000000000000000001000000:C350 00000000000000000000000001000000:0050 01 " +
      "00000000:00000000 00:00000000 00000000  1000        0 99 1 0 100 0 0 10 0"
    assert.deepStrictEqual([...portsByInode([header, four, six, ""].join("\n"))], [
      ["346470", { localPort: 0x251c, remotePort: 0 }],
      ["99", { localPort: 50000, remotePort: 80 }]
    ])
    for (const text of ["", header, `${header}\ngarbage\n\n`]) assert.strictEqual(portsByInode(text).size, 0)
  })

  it("is refused where descriptors cannot be listed", () => {
    assert.throws(() => compare(() => undefined), /option descriptors is true, but it must be left out if/)
  })

  it.live("is looked at until it is gone, or the time is up", () =>
    Effect.gen(function*() {
      let looks = 0
      const closing = compare(() => ++looks === 1 ? [] : looks < 5 ? ["/log"] : [])
      assert.deepStrictEqual(yield* closing.settle(1000), [])
      assert.strictEqual(looks, 5)
      looks = 0
      const open = compare(() => ++looks === 1 ? [] : ["/log"])
      const left = yield* open.settle(30)
      assert.deepStrictEqual(left.map(({ kind, label }) => [kind, label]), [["Descriptor", "/log"]])
      assert.strictEqual(left[0]?.message, "a descriptor (/log) was left open, asked for by an unknown caller")
    }))
})

describe("a fresh process", { timeout: 60_000 }, () => {
  it.live("raises no false alarm at its first child, watch, fetch, worker and look-up, and finds what is left open", () =>
    Effect.gen(function*() {
      const { port, said } = yield* runChild
      for (const lazy of ["spawn", "watch", "fetch", "agent", "worker", "lookup", "closing"]) {
        assert.deepStrictEqual(said[lazy], [], lazy)
      }
      const line = Fs.readFileSync(child, "utf8").split("\n").findIndex((text) => text.endsWith("// at unref")) + 1
      // Both sides of the connection are in that process: the client's, unref'd, and the server's.
      assert.lengthOf(said["unref"] ?? [], 2)
      const [client, accepted] = [...said["unref"] ?? []].sort((left) => left.includes(`to port ${port}`) ? -1 : 1)
      assert.match(
        client ?? "",
        new RegExp(`socket from port \\d+ to port ${port}\\) was left open, .*descriptors.ts:${line}:`)
      )
      assert.match(accepted ?? "", new RegExp(`socket from port ${port} to port \\d+\\) was left open`))
      assert.deepStrictEqual(said["file"], [`a descriptor (${child}) was left open, asked for by an unknown caller`])
      assert.lengthOf(said["listener"] ?? [], 1)
      assert.match(said["listener"]?.[0] ?? "", /socket that listens on port \d+\) was left open/)
    }))
})
