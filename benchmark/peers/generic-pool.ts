import { createPool } from "generic-pool"
import { connect, type OpenPeer, poolSize } from "./peer.ts"
import { crowdOfPromises } from "./promises.ts"

export const open: OpenPeer = async (acquireTimeout) => {
  const pool = createPool(
    { create: () => Promise.resolve(connect()), destroy: () => Promise.resolve() },
    { min: poolSize, max: poolSize, ...(acquireTimeout === undefined ? {} : { acquireTimeoutMillis: acquireTimeout }) }
  )
  await pool.ready()
  return {
    crowd: crowdOfPromises(() => pool.acquire(), (connection) => void pool.release(connection)),
    close: async () => {
      await pool.drain()
      await pool.clear()
    }
  }
}
