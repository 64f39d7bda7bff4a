/**
 * The connector of PostgreSQL sessions.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import * as Connector from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import type { TcpConnectionError } from "../../../Resource/TcpConnection.ts"
import { loadDriver } from "./LoadDriver.ts"
import type { checkWith, openWith } from "./OpenSession.ts"
import type { Settings } from "./Options.ts"
import { isReusable, type Session } from "./Session.ts"

interface Driver {
  readonly open: ReturnType<typeof openWith>
  readonly check: ReturnType<typeof checkWith>
}

/** Opens sessions, decides whether a session is leased again, and reports its death. */
export const connectorOf = (
  settings: Settings
): Connector.Connector<Endpoint, Session, SqlError | TcpConnectionError> => {
  // All sessions share one dialer, which remembers the addresses of the server's name.
  let shared: Driver | undefined
  const driver = Effect.map(loadDriver, ({ checkWith, openWith }) =>
    shared ??= {
      open: openWith(settings),
      check: checkWith(settings)
    })
  return Connector.make({
    open: (endpoint: Endpoint) => Effect.flatMap(driver, ({ open }) => open(endpoint)),
    check: (session: Session) => Effect.flatMap(driver, ({ check }) => check(session)),
    closed: ({ state }: Session) => state.dead,
    isReusable
  })
}
