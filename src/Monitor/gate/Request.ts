/**
 * Checks requests to the gate.
 *
 * @since 0.1.0
 */
import { checkOptions } from "../../internal/Options.ts"
import type { ReserveRequest } from "./Decision.ts"

const check = checkOptions("ResourceMonitor.reserve")

/** Checks a request and returns how long it may wait, in milliseconds. */
export const maxWaitOf = (request: ReserveRequest): number => {
  if (request.descriptors !== undefined) check.whole("descriptors", request.descriptors, { min: 0 })
  return request.maxWait === undefined ? 0 : check.millis("maxWait", request.maxWait, { min: 0 })
}
