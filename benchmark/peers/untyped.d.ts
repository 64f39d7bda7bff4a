/** pg-pool comes without types; this is what the benchmark uses of it. */
declare module "pg-pool" {
  import type { EventEmitter } from "node:events"
  export interface Client {
    readonly release: () => void
  }
  export default class Pool extends EventEmitter {
    constructor(options: {
      readonly Client: new() => unknown
      readonly min: number
      readonly max: number
      readonly connectionTimeoutMillis: number
    })
    connect(): Promise<Client>
    end(): Promise<void>
  }
}
