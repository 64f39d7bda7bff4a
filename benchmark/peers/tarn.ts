import { Pool } from "tarn"
import { connect, type OpenPeer, poolSize } from "./peer.ts"
import { crowdOfPromises } from "./promises.ts"

/** It cannot wait for ever; a week stands for that. */
const week = 7 * 86_400_000

export const open: OpenPeer = (acquireTimeout = week) => {
  const pool = new Pool({
    create: () => Promise.resolve(connect()),
    destroy: () => {},
    min: poolSize,
    max: poolSize,
    acquireTimeoutMillis: acquireTimeout
  })
  return Promise.resolve({
    crowd: crowdOfPromises(() => pool.acquire().promise, (connection) => void pool.release(connection)),
    close: async () => void await pool.destroy()
  })
}
