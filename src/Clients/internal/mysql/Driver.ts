/**
 * The driver, which is an optional peer, and the connections that it makes.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { Connection as DriverConnection } from "mysql2"
import { loadPeer } from "../../../internal/Peer.ts"

/**
 * A connection of `mysql2`.
 *
 * @stability stable
 */
export type Connection = DriverConnection

type Driver = typeof import("mysql2")

export const driver: Effect.Effect<Driver> = loadPeer(
  { entry: "Mysql", package: "mysql2", version: 3 },
  () => import("mysql2")
)
