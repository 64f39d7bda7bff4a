/**
 * What a statement does to the transaction of its session, as far as its text or the server's command tag says it.
 *
 * @since 0.1.0
 */

/** White space and comments before the first word. A nested comment ends too early, and the text is then taken for another statement. */
const beginning = String.raw`^(?:\s|--[^\n]*(?:\n|$)|/\*[\s\S]*?\*/)*`

const start = new RegExp(`${beginning}(?:begin|start\\s+transaction)\\b`, "i")

const end = new RegExp(`${beginning}(?:commit|end|rollback|abort|prepare\\s+transaction)\\b`, "i")

const continues = /\bto\b|\band\s+chain\b/i

/** Whether a statement begins a transaction. */
export const beginsTransaction = (sql: string): boolean => start.test(sql)

/** Whether a statement ends a transaction, and begins none in its place. */
export const endsTransaction = (sql: string): boolean => end.test(sql) && !continues.test(sql)

/**
 * Whether a session is in a transaction after a statement that succeeded. `ROLLBACK TO` has the tag of `ROLLBACK`, and `COMMIT AND
 * CHAIN` that of `COMMIT`, so that the text decides there.
 */
export const isInTransaction = (before: boolean, command: string, sql: string): boolean => {
  switch (command) {
    case "BEGIN":
    case "START":
      return true
    case "COMMIT":
    case "ROLLBACK":
      return continues.test(sql) && before
    case "PREPARE":
      return before && !endsTransaction(sql)
    default:
      return before
  }
}
