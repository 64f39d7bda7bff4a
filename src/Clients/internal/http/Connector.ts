/**
 * How a connection of HTTP opens and ends.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
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

const dialers = ({ connectTimeout, lookup, refreshAddresses, tls }: ConnectorOptions): (target: Target) => Dial => {
  const options = { connectTimeout, lookup, refreshAddresses }
  const secure = { ALPNProtocols: ["http/1.1"], ...tls }
  const plain = RawSocket.dial(options)
  const encrypted = RawSocket.dial({ ...options, tls: secure })
  return ({ servername, url }) => {
    if (url.protocol === "http:") return plain
    return servername === undefined ? encrypted : RawSocket.dial({ ...options, tls: { servername, ...secure } })
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
