/**
 * How long a contender takes to recover from a fault.
 */
import type { Fault, Plan } from "./Plan.ts"
import type { Request } from "./Recording.ts"
import { isAnswered } from "./Series.ts"

/** It has recovered when every request that is due in so long a time is answered ... */
export const steadyFor = 500

/** ... within so long a time. */
export const promptly = 500

const isGood = (request: Request): boolean => isAnswered(request) && request.latency <= promptly

/**
 * Milliseconds from the end of a fault to the recovery: the first moment from which each request that is due within `steadyFor` is
 * answered within `promptly`. `null` if there is none before the next fault or the end.
 */
export const after = (fault: Fault, plan: Plan, requests: ReadonlyArray<Request>): number | null => {
  const end = Math.min(plan.duration, ...plan.faults.map(({ from }) => from).filter((from) => from >= fault.to))
  const later = requests.filter(({ due }) => due >= fault.to && due < end).toSorted((a, b) => a.due - b.due)
  let since = fault.to
  let isSteady = false
  for (const request of later) {
    if (request.due >= since + steadyFor && isSteady) break
    if (isGood(request)) isSteady = true
    else {
      since = request.due
      isSteady = false
    }
  }
  return isSteady && since + steadyFor <= end ? Math.round(since - fault.to) : null
}
