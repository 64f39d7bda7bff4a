/** `true` when both types are the same, `false` otherwise, also where one could be assigned to the other. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** Asks the compiler, never the runtime: `expectTrue<Same<Actual, Expected>>()`. */
export declare const expectTrue: <_Claim extends true>() => void
