/**
 * The last values of a broadcast, as a method of the monitor.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { checkOptions } from "../../internal/Options.ts"
import type { Broadcast } from "./Broadcast.ts"

/** The last values of a broadcast, at most `count`. */
export const recentOf = <A>(method: string, { recent }: Broadcast<A>) => {
  const { whole } = checkOptions(`ResourceMonitor.${method}`)
  return (count: number = Infinity) => Effect.sync(() => recent(whole("count", count, { min: 0, infinite: true })))
}
