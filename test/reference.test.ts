/**
 * The options of the clients and of the entry points of platforms are those that their pages list. A type that lacks an option, or has
 * one more, does not compile.
 */
import type { PgPoolConfig } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import type * as CloudRun from "effect-sluice/CloudRun"
import type * as Edge from "effect-sluice/Edge"
import type * as Lambda from "effect-sluice/Lambda"
import type * as Main from "effect-sluice/Main"
import type * as Postgres from "effect-sluice/Postgres"
import type * as Redis from "effect-sluice/Redis"
import type * as RedisBudget from "effect-sluice/RedisBudget"
import type * as Vercel from "effect-sluice/Vercel"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** The options of the pool that a client passes on. */
const ofPool = {
  name: true,
  acquireTimeout: true,
  maxWaiters: true,
  lifetimeJitter: true,
  closeTimeout: true,
  drainTimeout: true,
  checkAfterIdle: true,
  keepalive: true,
  leakThreshold: true,
  maxLease: true,
  retry: true,
  whenUnavailable: true
} as const

/** Besides those of `PgClient.PgPoolConfig`, to which the page refers. */
const postgres: Record<Exclude<keyof Postgres.Options, Exclude<keyof PgPoolConfig, keyof typeof described>>, true> = {
  ...ofPool,
  maxConnections: true,
  minConnections: true,
  idleTimeout: true,
  connectionTTL: true,
  connectTimeout: true,
  keepAlive: true,
  password: true,
  lookup: true,
  refreshAddresses: true,
  guardRails: true,
  reset: true,
  evictOn: true,
  url: true,
  host: true,
  port: true,
  path: true,
  username: true,
  database: true
}

/** Those of `PgPoolConfig` that the page describes all the same. */
const described = {
  maxConnections: true,
  minConnections: true,
  idleTimeout: true,
  connectionTTL: true,
  connectTimeout: true,
  keepAlive: true,
  password: true,
  url: true,
  host: true,
  port: true,
  path: true,
  username: true,
  database: true
} as const

const redis: Record<keyof Redis.Options, true> = {
  ...ofPool,
  url: true,
  host: true,
  port: true,
  path: true,
  username: true,
  password: true,
  database: true,
  clientName: true,
  tls: true,
  clientOptions: true,
  commandTimeout: true,
  maxConnections: true,
  minConnections: true,
  connectTimeout: true,
  idleTimeout: true,
  maxLifetime: true,
  leftBehindTimeout: true,
  maxRedialDelay: true
}

const redisBudget: Record<keyof RedisBudget.Options, true> = {
  key: true,
  connections: true,
  lease: true,
  invocation: true,
  onStoreError: true,
  maxInstances: true,
  connectTimeout: true,
  storeTimeout: true,
  wake: true,
  url: true,
  host: true,
  port: true,
  path: true,
  tls: true,
  username: true,
  password: true,
  database: true,
  clientName: true,
  clientOptions: true
}

const main: Record<keyof Main.LayerOptions<never, never>, true> = {
  layer: true,
  cleanupTimeout: true,
  disableErrorReporting: true
}

const lambda: Record<"handle" | keyof Lambda.Options<never, never>, true> = {
  layer: true,
  handle: true,
  margin: true,
  between: true,
  shutdownWindow: true,
  extension: true
}

const vercel: Record<keyof Vercel.Options, true> = {
  maxDuration: true,
  margin: true,
  between: true,
  shutdownWindow: true,
  waitUntil: true
}

const cloudRun: Record<"layer" | keyof CloudRun.AttachOptions, true> = {
  shutdownWindow: true,
  layer: true,
  timeout: true,
  margin: true,
  between: true
}

const edge: Record<"handle" | keyof Edge.Options<never, never, never>, true> = {
  layer: true,
  handle: true,
  timeout: true,
  closeWindow: true
}

const codes = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/`([a-z]\w*)`/gi), ([, code = ""]) => code)

/** A part of a page, from its heading to the next one of the same level. */
const sectionOf = (page: string, heading: string): string => {
  const text = Fs.readFileSync(Path.resolve(import.meta.dirname, "..", page), "utf8")
  const [, after = ""] = heading === "" ? ["", text] : text.split(`\n${heading}\n`)
  return after.split(`\n${heading.split(" ")[0]} `)[0] ?? ""
}

/** The first table with options, and the lists of options of the pool in the sentences of the section. */
const listedIn = (section: string) => {
  const [, after = ""] = section.split(/\n\| option .*\n\| -.*\n/)
  const [table = ""] = after.split("\n\n")
  const inTable = table.split("\n").flatMap((row) => codes(row.split("|")[1] ?? ""))
  const [, inProse = ""] = /\n\n((?:`\w+`[^.]*?){8,}?)(?:are those of|are \[those of)/.exec(section) ?? []
  return { inTable, passedOn: codes(inProse.replaceAll(/ ?\([^)]*\)/g, "")) }
}

const pages: ReadonlyArray<readonly [of: string, page: string, heading: string, options: object]> = [
  ["Postgres", "docs/reference/clients/postgres.md", "## Options", postgres],
  ["Redis", "docs/reference/clients/redis.md", "## Options", redis],
  ["RedisBudget", "docs/reference/clients/redis-budget.md", "## Options", redisBudget],
  ["Main", "docs/how-to/exit.md", "", main],
  ["Lambda", "docs/how-to/serverless.md", "## Options", lambda],
  ["Vercel", "docs/how-to/serverless.md", "## Vercel", vercel],
  ["CloudRun", "docs/how-to/serverless.md", "## Cloud Run", cloudRun],
  ["Edge", "docs/how-to/serverless.md", "## Edge", edge]
]

describe("the options", () => {
  it.each(pages)("of %s are those of %s", (_, page, heading, options) => {
    const { inTable, passedOn } = listedIn(sectionOf(page, heading))
    assert.sameMembers([...inTable, ...passedOn], Object.keys(options))
  })
})
