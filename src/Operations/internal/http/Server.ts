/**
 * The small server of the routes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Http from "node:http"
import { loadPeer } from "../../../internal/Peer.ts"
import { errorText, safeMessage } from "../../../internal/SafeText.ts"
import { TaggedError } from "../../../internal/TaggedError.ts"
import { startTimer } from "../../../internal/Timer.ts"
import { Operations } from "../../Service.ts"
import * as Responses from "./Responses.ts"
import { addAll } from "./Routes.ts"
import { type ServerOptions, type ServerSettings, serverSettings } from "./Settings.ts"

/**
 * The server cannot listen on its port, for example because another program does.
 *
 * @category errors
 * @since 0.1.0
 * @stability experimental
 */
export class ListenFailed extends TaggedError("ListenFailed")<{
  readonly host: string
  readonly port: number
  readonly cause: unknown
}> {
  override get message(): string {
    const { cause, host, port } = this
    const isTaken = cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE"
    const why = isTaken
      ? "the port is in use (EADDRINUSE): give OperationsHttp another port, or 0 for any"
      : errorText(cause)
    return safeMessage(`cannot listen on ${host}, port ${port}: ${why}`)
  }
}

/**
 * Where the server listens.
 *
 * @category services
 * @since 0.1.0
 * @stability experimental
 */
export class Server extends Context.Service<Server, {
  readonly host: string
  /** The port that was taken, if the option is 0. */
  readonly port: number
  /** The address of the page, for a browser on this machine. */
  readonly url: string
}>()("effect-sluice/OperationsHttp/Server") {}

const peer = loadPeer(
  { entry: "OperationsHttp", package: "@effect/platform-node", version: 4 },
  () => import("@effect/platform-node/NodeHttpServer")
)

/** How many connections there may be at once, each with one descriptor. */
const mostConnections = 64

/** How long an answer that is under way may go on after the end of the scope, in milliseconds. */
const grace = 100

/** A server that waits for no client: for its request, for its reading, or for its next request. */
const createServer = (): Http.Server => {
  const server = Http.createServer({
    headersTimeout: 5000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 2000,
    keepAliveTimeout: 5000
  })
  server.timeout = 10_000
  server.maxConnections = mostConnections
  return server
}

/** Ends all connections: idle ones at once, and those with an answer under way after a moment. */
const close = (server: Http.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = startTimer(() => server.closeAllConnections(), grace)
    server.close(() => {
      clearTimeout(timer)
      resume(Effect.void)
    })
  })

const urlOf = (host: string, port: number): string => {
  const name = host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host
  return `http://${name}:${port}/`
}

/** Starts to listen. Errors after that, such as of a connection that cannot be accepted, are logged. */
const listen = Effect.fnUntraced(function*({ host, port }: ServerSettings) {
  const node = createServer()
  const { make } = yield* peer
  // Its own graceful end waits for clients. Here the connections are ended before.
  const server = yield* make(() => node, { host, port, disablePreemptiveShutdown: true }).pipe(
    Effect.mapError(({ cause }) => new ListenFailed({ host, port, cause }))
  )
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  node.on("error", (error) => void runFork(Effect.logWarning(`the server of OperationsHttp: ${errorText(error)}`)))
  return { node, server }
})

const noRoute = Responses.failed({ status: 404, error: "NotFound", message: "there is no such route" })

/** Serves all routes until the scope ends. */
export const serve = Effect.fnUntraced(function*(options: ServerOptions) {
  const settings = serverSettings(options)
  const operations = yield* Operations
  // A router of its own: that of the program, if there is one, has other routes.
  const router = yield* Effect.provideService(HttpRouter.make, HttpRouter.RouterConfig, { maxParamLength: 1000 })
  yield* addAll(router, operations, settings)
  const { node, server } = yield* listen(settings)
  // Its only failure is that there is no such route, because no route fails.
  // oxlint-disable-next-line effecttsgo/any-unknown-in-error-context
  const app = Effect.orElseSucceed(router.asHttpEffect(), () => noRoute)
  // A probe each second would hide everything else among the traces of the program.
  yield* Effect.provideService(server.serve(app), HttpMiddleware.TracerDisabledWhen, () => true)
  // Added after `serve`, so that it runs before the end of that one, which would leave requests without an answer.
  yield* Effect.addFinalizer(() => close(node))
  const address = node.address()
  const port = typeof address === "object" && address !== null ? address.port : settings.port
  const url = urlOf(settings.host, port)
  yield* Effect.logInfo(`operations at ${url}`)
  return Server.of({ host: settings.host, port, url })
})
