/**
 * The effect of a statement on the transaction of its session, as far as its text shows it.
 *
 * @since 0.1.0
 */

/** White space and comments before the first word. Nested comments are not supported: the statement is not recognised after one. */
const beginning = String.raw`^(?:\s|--[^\n]*(?:\n|$)|/\*[\s\S]*?\*/)*`

const start = new RegExp(`${beginning}(?:begin|start\\s+transaction)\\b`, "i")

const end = new RegExp(`${beginning}(?:commit|end|rollback|abort|prepare\\s+transaction)\\b`, "i")

const continues = /\bto\b|\band\s+chain\b/i

/** Whether a statement begins a transaction. */
export const beginsTransaction = (sql: string): boolean => start.test(sql)

/** Whether a statement ends a transaction, and begins none in its place. */
export const endsTransaction = (sql: string): boolean => end.test(sql) && !continues.test(sql)
