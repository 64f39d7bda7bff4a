/**
 * Figures of the tests that README.md repeats. `test/readme.test.ts` compares the two.
 */

/** Connections that are closed, at least, while the server counts its sockets: `test/hazard/churn.test.ts`. */
export const churn = 1000

/** Borrows that are interrupted, at least: `test/hazard/cancellation.test.ts`. */
export const interruptions = 60_000

/** Connects in one tick, and the limit of descriptors meanwhile: `test/hazard/exhaustion.test.ts`. */
export const burst = { connects: 500, descriptors: 128 }

/** Instances of a function, and the sessions that its server has for them: `test/hazard/fleet.test.ts`. */
export const fleet = { instances: 60, sessions: 17 }
