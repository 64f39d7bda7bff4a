/**
 * The process of the load: it sends each request when it is due, whatever became of those before (an open loop), and measures from
 * when it was due. So a slow answer delays no later request, and none of its delay is lost from the figures.
 */
import * as Http from "node:http"
import type { LoadStart, LoadTargets, Outcome } from "../Messages.ts"
import { listen, say } from "../Parent.ts"
import { between } from "./Arrivals.ts"

/** A caller gives up after this time, which is longer than the deadline of each contender. */
const patience = 2500

const reportEvery = 100

const now = (): number => performance.timeOrigin + performance.now()

interface Line {
  readonly contender: number
  readonly port: number
  readonly agent: Http.Agent
}

const lineTo = (port: number, contender: number): Line => ({
  contender,
  port,
  agent: new Http.Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: Infinity })
})

/** Makes a request, and says how it ended. */
const ask = ({ agent, port }: Line): Promise<string> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve("no answer")
      request.destroy()
    }, patience)
    const settle = (outcome: string) => {
      clearTimeout(timer)
      resolve(outcome)
    }
    const request = Http.get({ host: "127.0.0.1", port, agent }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => body += text)
      response.on("end", () => settle(response.statusCode === 200 ? "ok" : body))
      response.on("error", (error) => settle(error.message))
    })
    request.on("error", (error) => settle(error.message))
  })

/** The value below which 99 of 100 values lie. */
const percentile99 = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(0.99 * values.length) - 1)] ?? 0

/** Sends the requests of all contenders at the same times, and calls back with each that has ended. Returns how late they were. */
const send = async (
  start: LoadStart,
  lines: ReadonlyArray<Line>,
  onEnd: (outcome: Outcome) => void
): Promise<number> => {
  const { at, plan } = start
  const due = between({ from: -plan.warmUp, to: plan.duration, rate: plan.rate, seed: plan.seed })
  const pending: Array<Promise<void>> = []
  const late: Array<number> = []
  for (const [index, time] of due.entries()) {
    const wait = at + time - now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    late.push(now() - at - time)
    // In turns, so that none of them is always the first.
    for (let turn = 0; turn < lines.length; turn++) {
      const line = lines[(index + turn) % lines.length]
      if (line === undefined) continue
      pending.push(ask(line).then((outcome) => onEnd([line.contender, time, now() - at - time, outcome])))
    }
  }
  await Promise.all(pending)
  return percentile99(late)
}

/** Requests one after another, before the load: they load and compile the code of each process. */
const firstRequests = 20

/** How long a contender may take for those, also on a machine that is busy. */
const firstPatience = 20_000

/** Makes the first requests of a contender, and returns why they have failed. A failed one is repeated. */
const warm = async (line: Line): Promise<string | undefined> => {
  const end = now() + firstPatience
  for (let left = firstRequests; left > 0;) {
    const outcome = await ask(line)
    if (outcome === "ok") left--
    else if (now() > end) return outcome
  }
  return undefined
}

const run = async (start: LoadStart, lines: ReadonlyArray<Line>): Promise<void> => {
  let outcomes: Array<Outcome> = []
  const report = () => {
    if (outcomes.length > 0) say({ _tag: "Outcomes", outcomes })
    outcomes = []
  }
  const reporting = setInterval(report, reportEvery)
  const late = await send(start, lines, (outcome) => outcomes.push(outcome))
  clearInterval(reporting)
  for (const { agent } of lines) agent.destroy()
  report()
  say({ _tag: "Done", late })
}

const warmAll = async (lines: ReadonlyArray<Line>): Promise<void> => {
  say({ _tag: "Warm", failures: (await Promise.all(lines.map(warm))).map((failure) => failure ?? null) })
}

// The parent is a program of ours. Its first message is empty, the second one has the ports, and the third one starts the load.
let isReady = false
let lines: ReadonlyArray<Line> | undefined
listen((message) => {
  if (!isReady) {
    isReady = true
    say({ _tag: "Ready", port: 0 })
  } else if (lines === undefined) {
    lines = (message as LoadTargets).ports.map(lineTo)
    void warmAll(lines)
  } else void run(message as LoadStart, lines)
})
