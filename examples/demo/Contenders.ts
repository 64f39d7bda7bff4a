/**
 * Who takes part, ours first.
 */
import * as DialPerRequest from "./contenders/DialPerRequest.ts"
import * as LightningPool from "./contenders/LightningPool.ts"
import { limits } from "./contenders/Limits.ts"
import * as Sluice from "./contenders/Sluice.ts"
import type { ContenderId } from "./Messages.ts"

/** A contender, by its name in the report, with the options that it uses. */
export interface Entrant {
  readonly id: ContenderId
  readonly name: string
  readonly options: Readonly<Record<string, string>>
}

/** Before the demo's own server. */
export const embedded: ReadonlyArray<Entrant> = [
  { id: "Sluice", name: "effect-sluice", options: Sluice.optionsOf(limits) },
  { id: "LightningPool", name: "lightning-pool, p-retry", options: LightningPool.optionsOf(limits) },
  { id: "DialPerRequest", name: "dial per request, p-retry", options: DialPerRequest.optionsOf(limits) }
]
