/**
 * The runbook and the page of the pool say of each value of `stalledBy` what to look at.
 */
import { assert, it } from "@effect/vitest"
import type * as ConnectionPool from "effect-sluice/ConnectionPool"
import { namesIn, tablesOf } from "./support/Documents.ts"

/** All values. One that is not here, or is no value any more, does not compile. */
const values: Record<ConnectionPool.StalledBy, true> = {
  EndpointCap: true,
  TotalCap: true,
  Connecting: true,
  Gate: true,
  Budget: true,
  Checking: true,
  Suspended: true,
  LeftBehind: true
}

it.each(["docs/how-to/runbook.md", "docs/reference/pool.md"])("%s has each value of `stalledBy` once", (page) => {
  const shown = namesIn(tablesOf(page, "stalledBy")).flatMap((cell) => cell.split(", "))
  assert.deepStrictEqual([...shown].sort(), Object.keys(values).sort())
})
