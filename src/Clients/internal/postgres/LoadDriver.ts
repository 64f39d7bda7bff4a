/**
 * Loads what needs `@effect/sql-pg`, an optional peer.
 *
 * @since 0.1.0
 */
import { importDriver } from "#import-driver"
import { loadPeer } from "../../../internal/Peer.ts"

/** The modules that import the driver, loaded once. */
export const loadDriver = loadPeer(
  { entry: "Postgres", package: "@effect/sql-pg", version: 4 },
  importDriver
)
