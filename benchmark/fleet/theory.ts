/**
 * Closed forms from the theory of queues, which the simulation is held against. All times have one unit.
 */

/** The mean wait before a server with a fixed service time, for arrivals at random (M/D/1, Pollaczek and Khinchine). */
export const waitForOne = (utilisation: number, service: number): number =>
  utilisation * service / (2 * (1 - utilisation))

/**
 * The mean wait for one of `permits`, of instances that want one again after `think` on average and hold it for `hold` on average, both
 * exponentially distributed (M/M/c with a finite source).
 */
export const waitOfFleet = (instances: number, permits: number, think: number, hold: number): number => {
  // The probability of each number of instances that hold or wait, up to a common factor. Logarithms, because factorials overflow.
  let logarithm = 0
  const logarithms = [0]
  for (let busy = 1; busy <= instances; busy++) {
    logarithm += Math.log((instances - busy + 1) * hold / think / Math.min(busy, permits))
    logarithms.push(logarithm)
  }
  const most = Math.max(...logarithms)
  let [all, waiting, rate] = [0, 0, 0]
  for (const [busy, value] of logarithms.entries()) {
    const weight = Math.exp(value - most)
    all += weight
    waiting += weight * Math.max(busy - permits, 0)
    rate += weight * (instances - busy) / think
  }
  return waiting / rate
}

/** How many permits lost holders have on average (Little). `rate` is how many connections are opened in a unit of time. */
export const lostPermits = (rate: number, share: number, lease: number): number => rate * share * lease
