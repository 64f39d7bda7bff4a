/**
 * How a connection of HTTP opens and ends.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Connector from "../../../Resource/Connector.ts"
import { type Endpoint, type EndpointError, fromUrl } from "../../../Resource/Endpoint.ts"
import * as RawSocket from "../../../Resource/RawSocket.ts"
import type * as TcpConnection from "../../../Resource/TcpConnection.ts"
import { HttpConnection } from "./HttpConnection.ts"
import { type Target, targetOf } from "./Origin.ts"

/** The options that concern one connection. */
export interface ConnectorOptions
  extends Pick<TcpConnection.ConnectorOptions, "connectTimeout" | "lookup" | "refreshAddresses">
{
  readonly tls?: Exclude<TcpConnection.Options["tls"], boolean> | undefined
  readonly endpoint?: ((origin: URL) => Endpoint) | undefined
  readonly client?: Undici.Client.Options | undefined
}

type Dial = ReturnType<typeof RawSocket.dial>

/** TLS has one dialer for all hosts that are their own server names, and one for each other server name. */
const dialers = (given: ConnectorOptions): (target: Target) => Dial => {
  const { connectTimeout, endpoint, lookup, refreshAddresses, tls } = given
  const options = { connectTimeout, lookup, refreshAddresses }
  const dialTls = (server: { readonly servername?: string }) =>
    RawSocket.dial({ ...options, tls: { ALPNProtocols: ["http/1.1"], ...server, ...tls } })
  const named = new Map<string, Dial>()
  const dialNamed = (servername: string): Dial => {
    const dial = named.get(servername) ?? dialTls({ servername })
    named.set(servername, dial)
    return dial
  }
  const [plain, encrypted] = [RawSocket.dial(options), dialTls({})]
  return ({ servername, url }) => {
    if (url.protocol === "http:") return plain
    const name = servername ?? (endpoint === undefined ? undefined : url.hostname)
    return name === undefined || Net.isIP(name) !== 0 || name.startsWith("[") ? encrypted : dialNamed(name)
  }
}

/** A connector whose keys are those of `keyed`. */
export const makeConnector = (
  undici: typeof Undici,
  options: ConnectorOptions,
  keepAliveTimeout: number
): Connector.Connector<string, HttpConnection, TcpConnection.TcpConnectionError | EndpointError> => {
  const dialer = dialers(options)
  const { endpoint: chosen } = options
  const endpointOf = chosen === undefined ? fromUrl : (url: URL) => Effect.sync(() => chosen(url))
  const open = (key: string) => {
    const target = targetOf(key)
    const endpoint = endpointOf(target.url)
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(Effect.flatMap(endpoint, dialer(target))), (socket) =>
        Effect.acquireRelease(
          Effect.sync(() =>
            new HttpConnection(undici, target.url.origin, socket, { ...options.client, keepAliveTimeout })
          ),
          (connection) => Effect.sync(() => connection.end())
        ))
    )
  }
  return Connector.make({
    open,
    closed: (connection) => connection.dead,
    isReusable: (connection) => connection.isReusable
  })
}
