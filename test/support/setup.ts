/**
 * Compares what descriptors the process of a test file has before its first test and after its last one. A process runs one
 * file after another, and runs this module anew for each.
 */
import * as Effect from "effect/Effect"
import { afterAll, beforeAll } from "vitest"
import * as Descriptors from "../../src/Testing/internal/DescriptorDiff.ts"
import * as LeakCheck from "../../src/Testing/LeakCheck.ts"

let isExpected = false

/** Says of a test file that it leaves descriptors open, and why that is right. The file runs apart: see `vitest.config.ts`. */
export const leavesDescriptors = (_why: string): void => {
  isExpected = true
}

let comparison: Descriptors.Comparison | undefined

beforeAll(() => {
  comparison = Descriptors.compare()
})

afterAll(async () => {
  if (comparison === undefined || isExpected) return
  const leaks = await Effect.runPromise(comparison.settle(2000))
  if (leaks.length > 0) throw new LeakCheck.LeakError({ leaks })
})
