/**
 * What docs/reference/retry.md says of single codes and texts is what the code does.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Failure from "effect-sluice/Failure"
import * as Fs from "node:fs"

const guide = Fs.readFileSync(new URL("../../docs/reference/retry.md", import.meta.url), "utf8")

interface Table {
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyMap<string, ReadonlyArray<string>>
}

const cellsOf = (line: string): ReadonlyArray<string> => line.split("|").slice(1, -1).map((cell) => cell.trim())

/** The table of the guide whose first column is called so. */
const tableOf = (first: string): Table => {
  const lines = guide.split("\n")
  const from = lines.findIndex((line) => cellsOf(line)[0] === first)
  const rest = lines.slice(from)
  const [head = "", , ...body] = rest.slice(0, rest.findIndex((line) => !line.startsWith("|")))
  return {
    columns: cellsOf(head).slice(1).map((cell) => cell.replaceAll("`", "")),
    rows: new Map(body.map(cellsOf).map(([name = "", ...cells]) => [name, cells]))
  }
}

const coded = (fields: object) => Object.assign(new Error("in some words"), fields)

/** How the errors of a row are made: from words in backticks, from bare numbers, or from texts in quotation marks. */
type Maker = (code: string) => unknown

const word: Maker = (code) => coded({ code })
const sqlState: Maker = (code) => coded({ code })
const http2: Maker = (code) =>
  code.startsWith("NGHTTP2_")
    ? Object.assign(new Error(`Stream closed with error code ${code}`), { code: "ERR_HTTP2_STREAM_ERROR" })
    : coded({ code })
const named = (name: string, fields: object) => Object.assign(coded(fields), { name })

const makers: Record<string, Maker> = {
  "sockets, DNS": word,
  TLS: word,
  "Node, undici, `fetch`": word,
  axios: word,
  HTTP: (code) => ({ status: Number(code) }),
  "HTTP/2": http2,
  WebSocket: (code) => ({ _tag: "SocketCloseError", code: Number(code) }),
  "gRPC, Connect": word,
  PostgreSQL: sqlState,
  "pgbouncer, 08P01": (text) => Object.assign(new Error(text), { code: "08P01" }),
  "Neon, XX000": (text) => Object.assign(new Error(text), { code: "XX000" }),
  "postgres.js": word,
  "MySQL, MariaDB": (code) => coded({ code: "ER_ANY", errno: Number(code) }),
  "mysql2, mariadb": word,
  "Redis, Valkey": (code) => Object.assign(new Error(`${code} in some words`), { name: "ReplyError" }),
  NATS: (code) => named("NatsError", { code }),
  "AMQP 0-9-1": (code) => coded({ code: Number(code), methodId: 10 }),
  MongoDB: (code) => named("MongoServerError", { code: Number(code) })
}

/** Codes that a cell names: what is a family (`ER_*`), a field or a word for a class is none. */
const codesIn = (cell: string): ReadonlyArray<string> => {
  const words = [...cell.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, code = ""]) => code)
  const texts = [...cell.matchAll(/"([^"]+)"/g)].map(([, text = ""]) => text)
  const bare = cell.replaceAll(/`[^`]*`|"[^"]*"|\([^)]*\)|\d+ with|(others of )?class \d+/g, "")
  const ranges = [...bare.matchAll(/(\d+) to (\d+)/g)].flatMap(([, from, to]) =>
    Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => String(Number(from) + index))
  )
  const numbers = [...bare.replaceAll(/from \d+ to \d+|\d+ to \d+/g, "").matchAll(/\b\d[0-9A-Z]*\b/g)].map(String)
  return [...words, ...texts, ...(bare.includes("from") ? [] : ranges), ...numbers]
}

interface Claim {
  readonly row: string
  readonly code: string
  readonly expected: string
  readonly error: unknown
}

const claims: ReadonlyArray<Claim> = [...tableOf("where it comes from").rows].flatMap(([row, cells]) => {
  const make = makers[row]
  const { columns } = tableOf("where it comes from")
  return make === undefined ? [] : cells.flatMap((cell, index) => {
    const [always = "", ofDial = ""] = cell.split("of a dial")
    const expected = columns[index] ?? ""
    return [
      ...codesIn(always).map((code) => ({ row, code, expected, error: make(code) })),
      ...codesIn(ofDial).map((code) => ({ row, code, expected, error: coded({ code, syscall: "connect" }) }))
    ]
  })
})

describe("the table of docs/reference/retry.md", () => {
  it("has a row for each kind of errors, and hundreds of codes", () => {
    const { rows } = tableOf("where it comes from")
    for (const name of Object.keys(makers)) assert.isTrue(rows.has(name), name)
    assert.isAbove(claims.length, 250)
  })

  it.each(claims)("$row: $code is $expected", ({ error, expected }) => {
    assert.strictEqual(Failure.classify(error).class, expected)
  })
})

const classOfColumn: Record<string, Partial<Failure.Failure>> = {
  "Transient, unsent": { class: "Transient", sent: false },
  Ambiguous: { class: "Ambiguous" },
  Fatal: { class: "Fatal" }
}

/** Errors that a cell of the second table names: a class with a text, a class alone, or a text alone. */
const errorsIn = (cell: string): ReadonlyArray<Error> =>
  [...cell.matchAll(/`(\w+Error|NoResponders)`(?: "([^"]+)")?|"([^"]+)"/g)].map(([, name, ofClass, alone]) => {
    const text = (ofClass ?? alone ?? "in some words").replace("…", "and so on")
    return Object.assign(new Error(text), name === undefined ? {} : { name })
  })

describe("the table of errors without a code", () => {
  const { columns, rows } = tableOf("driver")
  const errors = [...rows].flatMap(([driver, cells]) =>
    cells.flatMap((cell, index) => errorsIn(cell).map((error) => ({ driver, error, column: columns[index] ?? "" })))
  )

  it("has those of eight drivers", () => {
    assert.strictEqual(rows.size, 8)
    assert.isAbove(errors.length, 60)
  })

  it.each(errors)("$driver: $error is $column", ({ column, error }) => {
    assert.deepInclude(Failure.classify(error), classOfColumn[column] ?? {})
  })
})
