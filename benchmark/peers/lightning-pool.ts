import { Pool } from "lightning-pool"
import { connect, type Connection, type OpenPeer, poolSize } from "./peer.ts"
import { crowdOfPromises } from "./promises.ts"

/** Without a minimum it saves a tick on each borrow, and its queue takes 1000 unless it is told otherwise. */
export const open: OpenPeer = (acquireTimeout = 0) => {
  const pool = new Pool<Connection>(
    { create: connect, destroy: () => {} },
    { max: poolSize, maxQueue: 1_000_000, acquireTimeoutMillis: acquireTimeout }
  )
  return Promise.resolve({
    crowd: crowdOfPromises(() => pool.acquire(), (connection) => pool.release(connection)),
    close: () => pool.closeAsync()
  })
}
