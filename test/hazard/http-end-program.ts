/** The program of `http-end-child.ts` as a process, and what its clients do. */
import { assert } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Readline from "node:readline"

const child = Path.join(import.meta.dirname, "http-end-child.ts")

export interface Settings {
  readonly platform: "Main" | "CloudRun"
  readonly server: "effect" | "node"
  /** Milliseconds for which the program goes on after the signal. */
  readonly retirement?: number
  /** Milliseconds of its end. */
  readonly window?: number
  /** The Unix path on which a server of Node listens, in the place of a port. */
  readonly path?: string
  readonly tls?: { readonly key: string; readonly cert: string }
}

export interface Program {
  readonly port: number
  readonly lines: ReadonlyArray<string>
  readonly process: ChildProcess.ChildProcess
  readonly stderr: () => string
}

export const statuses = { Main: 143, CloudRun: 0 }

export const start = async (settings: Settings): Promise<Program> => {
  const started = ChildProcess.spawn(process.execPath, [child, JSON.stringify(settings)], { stdio: "pipe" })
  let stderr = ""
  started.stderr.on("data", (data) => void (stderr += String(data)))
  const lines: Array<string> = []
  const reader = Readline.createInterface(started.stdout).on("line", (line) => lines.push(line))
  while (!lines.some((line) => /^\d+$/.test(line))) await once(reader, "line")
  return { port: Number(lines.find((line) => /^\d+$/.test(line))), lines, process: started, stderr: () => stderr }
}

export const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Sends SIGTERM, and returns how the process ends. */
export const end = async (program: Program) => {
  const begin = performance.now()
  program.process.kill("SIGTERM")
  const [status]: Array<unknown> = await once(program.process, "close")
  return { status, took: performance.now() - begin, stderr: program.stderr() }
}

/** Asks for an answer after so many milliseconds, and keeps the connection. */
export const ask = async ({ port }: Program, agent: Http.Agent, millis: number) => {
  const request = Http.get({ port, host: "127.0.0.1", path: `/${millis}`, agent })
  const [response]: Array<Http.IncomingMessage> = await once(request, "response")
  assert(response !== undefined)
  let text = ""
  for await (const chunk of response) text += String(chunk)
  return { text, connection: response.headers.connection }
}

/** A connection of a client that writes its requests by hand, so that it does not open another one if this one is closed. */
export interface Client {
  readonly socket: Net.Socket
  /** Sends this text, and returns the first line of the next answer, or "closed". */
  readonly send: (text: string) => Promise<string>
  readonly closed: Promise<unknown>
}

export const connect = async ({ port }: Program): Promise<Client> => {
  const socket = Net.connect(port, "127.0.0.1").setEncoding("utf8")
  socket.on("error", () => {})
  const closed = once(socket, "close")
  await once(socket, "connect")
  return {
    socket,
    closed,
    send: async (text) => {
      const answered = once(socket, "data")
      socket.write(text)
      const first = await Promise.race([answered, closed.then(() => ["closed"])])
      return String(first[0]).split("\r\n")[0] ?? ""
    }
  }
}

/** Runs something with a program, of which nothing is left afterwards. */
export const withProgram = async <A>(settings: Settings, use: (program: Program) => Promise<A>): Promise<A> => {
  const program = await start(settings)
  try {
    return await use(program)
  } finally {
    program.process.kill("SIGKILL")
  }
}
