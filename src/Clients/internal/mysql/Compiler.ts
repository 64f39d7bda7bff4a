/**
 * Compiles statements of `effect/sql` for MySQL and MariaDB.
 *
 * @since 0.1.0
 */
import * as Statement from "effect/sql/Statement"

const escape = Statement.defaultEscape("`")

/** The escaped names in a list of columns: `` (`a`,`b`) ``. */
const names = /`(?:[^`]|``)*`(?:\.`(?:[^`]|``)*`)*/g

/**
 * Rows of values as a table. Neither server takes `VALUES` in the form of the other, and MariaDB takes no names of columns behind a derived
 * table, so the rows are a union of selections, which both take in every version.
 */
const rowsAsTable = (columns: string, values: ReadonlyArray<ReadonlyArray<unknown>>): string => {
  const [first = []] = values
  const named = columns.match(names) ?? []
  const head = first.map((_, index) => `? AS ${named[index] ?? index}`).join(", ")
  const others = values.slice(1).map((row) => ` UNION ALL SELECT ${row.map(() => "?").join(", ")}`)
  return `(SELECT ${head}${others.join("")})`
}

/**
 * Makes the compiler. `transform` is applied to the names of columns and tables.
 *
 * @stability stable
 */
export const makeCompiler = (transform?: (name: string) => string): Statement.Compiler =>
  Statement.makeCompiler<Statement.Custom<string>>({
    dialect: "mysql",
    placeholder: () => "?",
    onIdentifier: transform === undefined
      ? escape
      : (name, withoutTransform) => escape(withoutTransform ? name : transform(name)),
    onRecordUpdate: (_placeholders, alias, columns, values) => [
      `${rowsAsTable(columns, values)} AS ${alias}`,
      values.flat()
    ],
    onCustom: () => ["", []]
  })
