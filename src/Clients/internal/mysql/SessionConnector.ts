/**
 * Opens connections of `mysql2`, reports their end, and decides whether they may be leased again.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { ConnectionOptions } from "mysql2"
import * as Net from "node:net"
import * as Connector from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { evaluate } from "../Password.ts"
import { type Connection, driver } from "./Driver.ts"
import type { Settings } from "./Options.ts"
import { follow, stateOf } from "./SessionState.ts"

type Driver = Effect.Success<typeof driver>

interface Dial {
  readonly createConnection: Driver["createConnection"]
  readonly config: ConnectionOptions
  readonly endpoint: Endpoint
  readonly keepAlive: number
}

const sockets = new WeakMap<Connection, Net.Socket>()

/** The socket below a connection, and below its TLS. */
export const socketOf = (connection: Connection): Net.Socket | undefined => sockets.get(connection)

const connect = (endpoint: Endpoint, keepAlive: number): Net.Socket => {
  const address = endpoint._tag === "UnixEndpoint"
    ? { path: endpoint.path }
    : { host: endpoint.host, port: endpoint.port }
  const isKept = Number.isFinite(keepAlive)
  return Net.connect({ ...address, noDelay: true, keepAlive: isKept, keepAliveInitialDelay: isKept ? keepAlive : 0 })
}

const create = ({ config, createConnection, endpoint, keepAlive }: Dial): Connection => {
  // A socket of our own: the driver's `destroy` only ends its side, and waits for the server.
  const socket = connect(endpoint, keepAlive)
  const host = endpoint._tag === "UnixEndpoint" ? {} : { host: endpoint.host, port: endpoint.port }
  const connection = createConnection({ ...config, ...host, stream: socket, connectTimeout: 0 })
  sockets.set(connection, socket)
  return follow(connection)
}

const clients = Connector.fromPromise({
  create,
  connect: (connection: Connection) => connection.promise().connect(),
  close: (connection) => connection.promise().end(),
  destroy: (connection) => socketOf(connection)?.destroy(),
  closed: (connection, onClosed) => {
    const ended = () => {
      stateOf(connection).ended()
      onClosed()
    }
    connection.once("error", ended)
    // When the server ends the session, the `close` of the socket comes last.
    socketOf(connection)?.once("end", ended).once("close", ended)
  },
  check: (connection) => connection.promise().ping(),
  isReusable: (connection) => stateOf(connection).isIdle,
  // The state of a session is known after an interruption too.
  reuseAfterInterruption: true
})

/**
 * The options of TLS. If the host is an IP address, the driver has no name to compare, and only verifies the chain of the
 * certificate.
 */
const tlsOf = ({ ssl }: Settings, endpoint: Endpoint): ConnectionOptions => {
  if (ssl === undefined || ssl === false) return {}
  const verifyIdentity = endpoint._tag === "TcpEndpoint" && Net.isIP(endpoint.host) === 0
  return { ssl: { verifyIdentity, ...(ssl === true ? undefined : ssl) } }
}

/** A connector that connects to the endpoint that is the key, and not to that of the settings. */
export const connectorOf = (settings: Settings): Connector.Connector<Endpoint, Connection, Connector.ClientError> => {
  const { database, driverOptions, keepAlive, password, preparedStatementCacheSize, username } = settings
  const open = (endpoint: Endpoint) =>
    Effect.gen(function*() {
      const { createConnection } = yield* driver
      const evaluated = yield* evaluate(password)
      const config: ConnectionOptions = {
        ...driverOptions,
        ...tlsOf(settings, endpoint),
        maxPreparedStatements: preparedStatementCacheSize,
        ...(username === undefined ? undefined : { user: username }),
        ...(evaluated === undefined ? undefined : { password: evaluated }),
        ...(database === undefined ? undefined : { database })
      }
      return yield* clients.open({ createConnection, config, endpoint, keepAlive })
    })
  return Connector.make({ ...clients, open })
}
