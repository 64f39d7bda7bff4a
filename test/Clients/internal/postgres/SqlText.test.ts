import { assert, describe, it } from "@effect/vitest"
import { beginsTransaction, endsTransaction } from "../../../../src/Clients/internal/postgres/SqlText.ts"

describe("the text of a statement", () => {
  it.each([
    "begin",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "  \n start  transaction",
    "-- why\nbegin",
    "/* why */ /* and\nwhen */ Begin;"
  ])("begins a transaction: %s", (sql) => assert.isTrue(beginsTransaction(sql)))

  it.each(["select 1", "beginning", "savepoint begin", "select 'begin'", "-- begin", "start_transaction()", ""])(
    "begins none: %s",
    (sql) => assert.isFalse(beginsTransaction(sql))
  )

  it.each([
    "commit",
    "END",
    "rollback",
    "Abort",
    "commit and no chain",
    "prepare transaction 'x'",
    "/* a */ rollback work"
  ])(
    "ends a transaction: %s",
    (sql) => assert.isTrue(endsTransaction(sql))
  )

  it.each([
    "rollback to savepoint a",
    "ROLLBACK TRANSACTION TO a",
    "commit and chain",
    "rollback and chain",
    "prepare p as select 1",
    "select 1",
    "release savepoint a"
  ])("ends none: %s", (sql) => assert.isFalse(endsTransaction(sql)))
})
