/**
 * The connector of PostgreSQL sessions.
 *
 * @since 0.1.0
 */
import type { SqlError } from "effect/sql/SqlError"
import * as Connector from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import type { TcpConnectionError } from "../../../Resource/TcpConnection.ts"
import { checkWith, openWith } from "./OpenSession.ts"
import type { Settings } from "./Options.ts"
import { isReusable, type Session } from "./Session.ts"

/** Opens sessions, decides whether a session is leased again, and reports its death. */
export const connectorOf = (
  settings: Settings
): Connector.Connector<Endpoint, Session, SqlError | TcpConnectionError> =>
  Connector.make({
    // All sessions share one dialer, which remembers the addresses of the server's name.
    open: openWith(settings),
    check: checkWith(settings),
    closed: ({ state }: Session) => state.dead,
    isReusable
  })
