/**
 * The table of driver errors: real errors of real drivers, most of them provoked, and how each is classed. The lines are in
 * `drivers`, one for each situation.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Failure from "effect-sluice/Failure"
import { afterAll, beforeAll } from "vitest"
import * as Amqp from "./drivers/AmqpCases.ts"
import * as Mongo from "./drivers/MongoCases.ts"
import * as Mysql from "./drivers/MysqlCases.ts"
import * as Nats from "./drivers/NatsCases.ts"
import * as Node from "./drivers/NodeCases.ts"
import type { Case, Need } from "./drivers/Peers.ts"
import * as Peers from "./drivers/Peers.ts"
import * as Pg from "./drivers/PgCases.ts"
import * as RedisClients from "./drivers/RedisCases.ts"
import * as Undici from "./drivers/UndiciCases.ts"

interface Driver {
  readonly cases: ReadonlyArray<Case>
  /** Lines that need a server. */
  readonly real?: ReadonlyArray<Case>
  readonly need?: Need
}

const drivers: Record<string, Driver> = {
  pg: Pg,
  mysql2: Mysql,
  ioredis: RedisClients.ofIoredis,
  "node-redis": RedisClients.ofNodeRedis,
  amqplib: Amqp,
  nats: Nats.ofNats,
  "@nats-io/transport-node": Nats.ofNatsIo,
  mongodb: Mongo,
  undici: Undici,
  Node
}

const mayBeAbsent = process.env["CI"] !== "true"

/** The lines of a driver, without those whose server is not there. */
const linesOf = async ({ cases, need, real = [] }: Driver): Promise<ReadonlyArray<Case>> => {
  if (need === undefined || !mayBeAbsent || (await Peers.isThere(need.port))) return [...cases, ...real]
  process.stderr.write(`skipped: there is no ${need.name} on port ${need.port}\n`)
  return cases
}

const table = await Promise.all(
  Object.entries(drivers).map(async ([name, driver]) => [name, await linesOf(driver)] as const)
)

const errors = new Map<Case, Promise<unknown>>()

const errorOf = (line: Case): Promise<unknown> => {
  const error = Peers.ended(line.provoke())
  error.catch(() => {})
  return error
}

// All at once: most of the time goes into waiting until a driver gives up.
beforeAll(async () => {
  for (const [, lines] of table) for (const line of lines) errors.set(line, errorOf(line))
  await Promise.allSettled(errors.values())
}, 90_000)

afterAll(Peers.closePeers)

describe.each(table)("errors of %s", (_, lines) => {
  it.each(lines)("$when: $situation is $expected", async (line) => {
    // A test that is repeated provokes its error again.
    const error = await (errors.get(line) ?? errorOf(line))
    errors.delete(line)
    const failure = Failure.classify(error, { dial: line.when === "dial" ? true : undefined })
    assert.deepStrictEqual([failure.class, failure.sent], [line.expected, line.sent], String(error))
  }, 40_000)
})

it("the table has at least 120 lines", () => {
  const all = Object.values(drivers).flatMap(({ cases, real = [] }) => [...cases, ...real])
  assert.isAtLeast(all.length, 120)
})
