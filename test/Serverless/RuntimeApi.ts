/**
 * An emulator of what AWS Lambda does with one instance of a function: the Runtime API and the Extensions API that the real
 * runtime client speaks to, and the signals. Its rules are those of the source of AWS's Runtime Interface Emulator:
 *
 * - Registration of extensions is over as soon as the runtime asks for its first invocation.
 * - The initialisation ends when the runtime and every registered extension have asked for what comes next.
 * - At the end, and after a timeout, an instance without any extension gets SIGKILL at once. With one it gets SIGTERM, and
 *   SIGKILL when the window is over.
 */
import * as ChildProcess from "node:child_process"
import { EventEmitter, once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as Path from "node:path"

const here = import.meta.dirname

/** The real runtime client, if `npm ci --prefix test/Serverless/ric` has installed it. */
const client = Path.join(here, "ric/node_modules/aws-lambda-ric/index.mjs")
export const hasRuntimeClient = Fs.existsSync(client)

export interface Options {
  /** Which of the functions in `functions/functions.ts`, or the path of a module and the name of its export. */
  readonly function: string | { readonly module: string; readonly name: string }
  readonly env?: Readonly<Record<string, string>>
  /** The HTTP client of the runtime client in place of the native one. */
  readonly alternativeClient?: boolean
  /** Loaded before the function's own code. */
  readonly preload?: string
  /** Registration of extensions is over before the function is loaded. */
  readonly isRegistrationOver?: boolean
  /** Worker threads that each ask for invocations, on managed instances. @default 1 */
  readonly workers?: number
}

/** What the platform got for an invocation. */
export interface Answer {
  readonly how: "response" | "error" | "killed"
  readonly text: string
  /** Milliseconds from the event to the answer. */
  readonly millis: number
  /** Of a streamed response that broke off. */
  readonly errorType: string | undefined
}

interface Invocation {
  readonly id: string
  readonly start: number
  readonly answer: (answer: Answer) => void
}

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** Waits for something that has to come. */
const within = async <A>(promise: Promise<A>, millis: number, what: () => string): Promise<A> => {
  const timer = sleep(millis).then(() => Promise.reject(new Error(`${what()} within ${millis} ms`)))
  return Promise.race([promise, timer])
}

export class Instance {
  readonly #server: Http.Server
  readonly #child: ChildProcess.ChildProcess
  readonly #changes = new EventEmitter()
  readonly #extensions = new Map<string, boolean>()
  /** Requests of the runtime for the next invocation that have no answer yet. */
  readonly #parked: Array<Http.ServerResponse> = []
  readonly #invocations = new Map<string, Invocation>()
  /** What the function has written. */
  output = ""
  /** How registrations were answered. */
  readonly registrations: Array<string> = []
  initError: string | undefined
  #isInitialised: boolean
  readonly #workers: number
  #nextId = 0
  #isFrozen = false

  private constructor(server: Http.Server, options: Options) {
    this.#server = server
    this.#isInitialised = options.isRegistrationOver ?? false
    this.#workers = options.workers ?? 1
    server.on("request", (request, response) => void this.#handle(request, response))
    const { port } = server.address() as Net.AddressInfo
    this.#child = spawn(`127.0.0.1:${port}`, options)
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.output += text)
    }
    this.#child.on("exit", () => {
      for (const { answer, start } of this.#invocations.values()) {
        answer({ how: "killed", text: "", millis: performance.now() - start, errorType: undefined })
      }
      this.#changes.emit("change")
    })
  }

  /** Starts an instance and waits for its initialisation, or for its failure. */
  static async start(options: Options): Promise<Instance> {
    const server = Http.createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    const instance = new Instance(server, options)
    await instance.#until(() => instance.#isReady || !instance.isAlive, 20_000, "the instance is not ready")
    instance.#isInitialised = true
    return instance
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  get hasExtension(): boolean {
    return this.#extensions.size > 0
  }

  get #isReady(): boolean {
    return this.#parked.length >= this.#workers && [...this.#extensions.values()].every((isReady) => isReady)
  }

  /** How the process has ended. */
  get ending(): number | NodeJS.Signals | null {
    return this.#child.exitCode ?? this.#child.signalCode
  }

  /** Sends an event and waits for the answer; the platform's own timeout comes after `timeout` milliseconds. */
  async invoke(event: unknown, timeout = 3000): Promise<Answer> {
    let response = this.#parked.shift()
    while (response === undefined && this.isAlive) {
      await this.#until(() => this.#parked.length > 0 || !this.isAlive, 5000, "the runtime asks for no invocation")
      response = this.#parked.shift()
    }
    if (response === undefined) throw new Error(`the instance has ended: ${this.output}`)
    const id = `request-${++this.#nextId}`
    const start = performance.now()
    const answered = new Promise<Answer>((resolve) => this.#invocations.set(id, { id, start, answer: resolve }))
    response.writeHead(200, {
      "Content-Type": "application/json",
      "Lambda-Runtime-Aws-Request-Id": id,
      "Lambda-Runtime-Deadline-Ms": String(Date.now() + timeout),
      "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:test"
    })
    response.end(JSON.stringify(event))
    if (this.#isFrozen) {
      // The event is there when the process goes on, and so is whatever else has come meanwhile.
      await sleep(20)
      this.#child.kill("SIGCONT")
      this.#isFrozen = false
    }
    const timer = setTimeout(() => void this.end(600), timeout)
    const answer = await answered
    clearTimeout(timer)
    this.#invocations.delete(id)
    return answer
  }

  /** Stops the process, as Lambda does when nothing runs. The next invocation resumes it. */
  async freeze(): Promise<void> {
    await this.#until(() => this.#isReady, 5000, "the instance cannot be frozen while something runs")
    // The runtime has its answer before it asks again; what it does after that belongs to the next invocation.
    await sleep(20)
    this.#child.kill("SIGSTOP")
    this.#isFrozen = true
  }

  /** Ends the instance as Lambda does, and waits until the process is gone. */
  async end(window = 500): Promise<void> {
    if (!this.isAlive) return
    if (this.hasExtension) {
      this.#child.kill("SIGTERM")
      if (this.#isFrozen) this.#child.kill("SIGCONT")
      await Promise.race([sleep(window), once(this.#child, "exit")])
    }
    if (this.isAlive) {
      this.#child.kill("SIGKILL")
      await once(this.#child, "exit")
    }
  }

  /** Ends whatever is left. */
  async close(): Promise<void> {
    if (this.isAlive) {
      this.#child.kill("SIGKILL")
      await once(this.#child, "exit")
    }
    this.#server.closeAllConnections()
    this.#server.close()
  }

  async #until(condition: () => boolean, millis: number, what: string): Promise<void> {
    const wait = async () => {
      while (!condition()) await once(this.#changes, "change")
    }
    await within(wait(), millis, () => `${what}: ${this.output}`)
  }

  async #handle(request: Http.IncomingMessage, response: Http.ServerResponse): Promise<void> {
    const path = request.url ?? ""
    if (path === "/2018-06-01/runtime/invocation/next") {
      // It never has an end of its own, and the process may be killed while it waits.
      response.on("error", () => {})
      this.#isInitialised = true
      this.#parked.push(response)
    } else if (path === "/2020-01-01/extension/event/next") {
      const id = String(request.headers["lambda-extension-identifier"])
      if (this.#extensions.has(id)) this.#extensions.set(id, true)
    } else if (path === "/2020-01-01/extension/register") {
      await this.#register(request, response)
    } else if (path === "/2018-06-01/runtime/init/error") {
      this.initError = await textOf(request)
      response.writeHead(202).end("{}")
    } else {
      await this.#answer(path, request, response)
    }
    this.#changes.emit("change")
  }

  async #register(request: Http.IncomingMessage, response: Http.ServerResponse): Promise<void> {
    // Decided in the order in which the requests arrive, not when their bodies are complete.
    const isOver = this.#isInitialised
    const { events } = JSON.parse(await textOf(request))
    const name = String(request.headers["lambda-extension-name"])
    const refusal = isOver
      ? "Extension.RegistrationClosed"
      : events.includes("SHUTDOWN")
      ? "Extension.InvalidEventType"
      : this.#extensions.has(name)
      ? "Extension.InvalidExtensionState"
      : undefined
    this.registrations.push(refusal ?? "registered")
    if (refusal !== undefined) return void response.writeHead(403).end(JSON.stringify({ errorType: refusal }))
    this.#extensions.set(name, false)
    response.writeHead(200, { "Lambda-Extension-Identifier": name }).end("{}")
  }

  async #answer(path: string, request: Http.IncomingMessage, response: Http.ServerResponse): Promise<void> {
    const [, id = "", how] = /^\/2018-06-01\/runtime\/invocation\/([^/]+)\/(response|error)$/.exec(path) ?? []
    const text = await textOf(request)
    const invocation = this.#invocations.get(id)
    response.writeHead(invocation === undefined ? 400 : 202).end("{}")
    const { "lambda-runtime-function-error-type": trailer } = request.trailers
    invocation?.answer({
      how: how === "response" && trailer === undefined ? "response" : "error",
      text,
      millis: performance.now() - invocation.start,
      errorType: trailer ?? (how === "error" ? JSON.parse(text).errorType : undefined)
    })
  }
}

const textOf = async (request: Http.IncomingMessage): Promise<string> => {
  let text = ""
  request.setEncoding("utf8")
  for await (const part of request) text += part
  return text
}

const spawn = (api: string, options: Options): ChildProcess.ChildProcess => {
  const target = typeof options.function === "string"
    ? { root: Path.join(here, "functions"), handler: "functions.handler", name: options.function }
    : {
      root: Path.dirname(options.function.module),
      handler: `${Path.basename(options.function.module).split(".")[0]}.${options.function.name}`,
      name: ""
    }
  const preloads = [Path.join(here, "../../scripts/sources.mjs"), options.preload].filter((path) => path !== undefined)
  return ChildProcess.spawn(process.execPath, [client], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
      NODE_OPTIONS: preloads.map((path) => `--import ${path}`).join(" "),
      AWS_LAMBDA_RUNTIME_API: api,
      LAMBDA_TASK_ROOT: target.root,
      _HANDLER: target.handler,
      AWS_LAMBDA_FUNCTION_NAME: "test",
      AWS_LAMBDA_FUNCTION_VERSION: "1",
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "1024",
      AWS_LAMBDA_LOG_GROUP_NAME: "group",
      AWS_LAMBDA_LOG_STREAM_NAME: "stream",
      ...(options.workers === undefined ? {} : {
        AWS_LAMBDA_MAX_CONCURRENCY: "64",
        AWS_LAMBDA_NODEJS_WORKER_COUNT: String(options.workers)
      }),
      ...(options.alternativeClient === true ? { AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1: "true" } : {}),
      FUNCTION: target.name,
      ...options.env
    }
  })
}
