/**
 * Children that end, and a monitor that watches, in a process of its own. It prints one line of JSON.
 *
 * Usage: node zombies-child.ts worker | patient | blocked | blocked-worker | closed | init
 */
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import { Worker } from "node:worker_threads"
import type { Reading } from "../../src/Monitor/Reading.ts"
import type { Zombie } from "../../src/Monitor/readings/Children.ts"
import * as Probes from "../../src/Monitor/readings/Probes.ts"
import * as Sampler from "../../src/Monitor/readings/Sampler.ts"

/** What this process prints. */
export interface ZombieReport {
  /** The child in question. */
  readonly pid: number
  /** Its states as the kernel has them, at each sample and at the end; `gone` where there is no such process. */
  readonly states: ReadonlyArray<string>
  /** What was counted at each sample. */
  readonly counts: ReadonlyArray<number | string>
  readonly reports: ReadonlyArray<Zombie>
}

const stateOf = (pid: number): string => {
  try {
    return Fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.slice(0, 1) ?? "nonsense"
  } catch {
    return "gone"
  }
}

const countOf = (reading: Reading): number | string => reading._tag === "Known" ? reading.value : reading._tag

const block = (millis: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
}

/** A worker that starts a child, says its pid, and then does what `then` says. */
const workerWith = (then: string): Promise<{ readonly worker: Worker; readonly pid: number }> =>
  new Promise((resolve) => {
    const worker = new Worker(
      `const { parentPort } = require("node:worker_threads")
       const child = require("node:child_process").spawn("sleep", ["0.3"])
       parentPort.postMessage(child.pid)
       setInterval(() => {}, 1000)
       ${then}`,
      { eval: true }
    )
    worker.once("message", (pid: number) => resolve({ worker, pid }))
  })

/** Each mode starts one child that ends after 0.3 seconds, and yields its pid. */
const modes: Record<string, (sample: () => void) => Promise<number>> = {
  worker: async () => {
    const { pid, worker } = await workerWith("")
    await worker.terminate()
    return pid
  },
  patient: async () => {
    const { pid, worker } = await workerWith("child.once(\"exit\", () => parentPort.postMessage(\"ended\"))")
    worker.once("message", () => void worker.terminate())
    return pid
  },
  blocked: async (sample) => {
    const { pid } = ChildProcess.spawn("sleep", ["0.3"])
    // The looks in this turn of the loop see the ended child, for which the loop has had no chance to wait.
    setTimeout(() => {
      block(300)
      for (let look = 0; look < 3; look++) {
        sample()
        block(50)
      }
    }, 150)
    return pid ?? -1
  },
  "blocked-worker": async () => {
    const block = "setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000), 100)"
    const { pid, worker } = await workerWith(block)
    worker.unref()
    return pid
  },
  closed: async () => {
    const child = ChildProcess.spawn("sleep", ["0.3"])
    // A private handle, which a library that manages processes itself may close.
    const { _handle: handle } = child as unknown as { readonly _handle: { readonly close: () => void } }
    handle.close()
    return child.pid ?? -1
  },
  init: async () => {
    const shell = ChildProcess.spawn("sh", ["-c", "sleep 0.3 & echo $!"])
    return new Promise((resolve) => shell.stdout.once("data", (text: Buffer) => resolve(Number(String(text)))))
  }
}

const program = Effect.gen(function*() {
  const reports: Array<Zombie> = []
  const states: Array<string> = []
  const counts: Array<number | string> = []
  let pid = -1
  const sampler = yield* Sampler.make({
    probes: yield* Probes.make,
    connections: () => new Map(),
    onSample: ({ figures }) => {
      if (pid < 0) return
      states.push(stateOf(pid))
      counts.push(countOf(figures.zombies))
    },
    secondsToLimit: () => 0,
    onZombie: (zombie) => reports.push(zombie)
  })
  const mode = modes[process.argv[2] ?? ""]
  if (mode === undefined) return yield* Effect.die(new Error("no such mode"))
  pid = yield* Effect.promise(() => mode(() => sampler.sampleNow()))
  // Slow looks at this pace see what comes and goes; the sampler's own timer goes on beside them.
  for (let look = 0; look < 14; look++) {
    yield* Effect.sleep("100 millis")
    sampler.sampleNow()
    // Two looks in one turn of the loop are no more than one.
    sampler.sampleNow()
  }
  // A signal to a zombie changes nothing.
  if (stateOf(pid) === "Z") process.kill(pid, "SIGKILL")
  yield* Effect.sleep("100 millis")
  states.push(stateOf(pid))
  return { pid, states, counts, reports } satisfies ZombieReport
}).pipe(Effect.scoped)

console.log(JSON.stringify(await Effect.runPromise(program)))
process.exit()
