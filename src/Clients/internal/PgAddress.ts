/**
 * The address of a PostgreSQL server as `pg` takes it.
 *
 * @since 0.1.0
 */
import type { Endpoint } from "../../Resource/Endpoint.ts"

const socketName = /^(.*)\/\.s\.PGSQL\.(\d{1,5})$/

/** The host and the port. For a Unix socket `pg` takes its folder as the host, and puts the name of the socket together itself. */
export const addressOf = (endpoint: Endpoint): { readonly host: string; readonly port: number } => {
  if (endpoint._tag === "TcpEndpoint") return { host: endpoint.host, port: endpoint.port }
  const [, folder, port] = socketName.exec(endpoint.path) ?? []
  if (folder === undefined || port === undefined) {
    throw new Error(
      `the path of a Unix socket of PostgreSQL ends with .s.PGSQL. and the port, but ${endpoint.path} does not`
    )
  }
  return { host: folder === "" ? "/" : folder, port: Number(port) }
}
