import { EventEmitter } from "node:events"
import Pool, { type Client } from "pg-pool"
import { type OpenPeer, poolSize } from "./peer.ts"
import { crowdOfPromises } from "./promises.ts"

/** A client that is connected at once and to nothing: the pool alone is measured. */
class FakeClient extends EventEmitter {
  readonly _queryable = true
  readonly _ending = false
  connect(callback: (error?: Error) => void): void {
    callback()
  }
  end(callback: () => void): void {
    callback()
  }
  isConnected(): boolean {
    return true
  }
}

/** With `min` at its `max` it arms no idle timer on each return, as the other pools do not. */
export const open: OpenPeer = (acquireTimeout = 0) => {
  const pool = new Pool({
    Client: FakeClient,
    min: poolSize,
    max: poolSize,
    connectionTimeoutMillis: acquireTimeout
  })
  return Promise.resolve({
    crowd: crowdOfPromises<Client>(() => pool.connect(), (client) => client.release()),
    close: () => pool.end()
  })
}
