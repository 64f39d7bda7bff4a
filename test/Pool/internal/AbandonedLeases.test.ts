import { assert, describe, it } from "@effect/vitest"
import { Context } from "effect"
import { AbandonedLeases } from "../../../src/Pool/internal/Leases.ts"
import type { Lease, PooledConnection } from "../../../src/Pool/internal/PoolState.ts"

type Leases = ReadonlyArray<Lease<string, string>>

/** As much of a lease as is looked at. */
const leaseOf = (borrowedAt: number, limited = false): Lease<string, string> =>
  ({ borrowedAt, fiber: {}, context: Context.empty(), expire: limited ? () => {} : undefined }) as never

const idle = { state: "Idle", leases: [] }

const connectionsWith = (leases: Leases, others = 0) => {
  const connections: Array<PooledConnection<string, string>> = [
    { state: "Leased", leases },
    ...Array.from({ length: others }, () => ({ ...idle }))
  ] as never
  return { all: () => connections, size: connections.length, hasLeased: true }
}

const isGuarded = ({ fiber, gcGuard }: Lease<string, string>) => gcGuard !== undefined && fiber === undefined

describe("leases that may be lost", () => {
  it("are guarded a second after they began, and cost nothing before", () => {
    const watch = new AbandonedLeases<string, string>(() => {})
    const [old, young] = [leaseOf(5000), leaseOf(5700)]
    assert.strictEqual(watch.add(5000), 6000)
    assert.strictEqual(watch.add(5700), 6000)
    const all = connectionsWith([old, young])
    assert.strictEqual(watch.sweep(all, 5999), 6000)
    assert.isFalse(isGuarded(old))
    assert.strictEqual(watch.sweep(all, 6000), 7000)
    assert.deepStrictEqual([isGuarded(old), isGuarded(young)], [true, false])
    assert.strictEqual(watch.sweep(all, 7000), Infinity)
    assert.isTrue(isGuarded(young))
    assert.strictEqual(watch.add(9000), 10_000)
    for (const lease of [old, young]) watch.remove(lease)
  })

  it("are looked for the seldomer the more connections there are", () => {
    const watch = new AbandonedLeases<string, string>(() => {})
    watch.add(0)
    assert.strictEqual(watch.sweep(connectionsWith([leaseOf(500)], 49_999), 1000), 51_000)
  })

  it("are not looked for where nothing is lent, however many connections are idle", () => {
    const watch = new AbandonedLeases<string, string>(() => {})
    watch.add(0)
    const all = () => assert.fail("they were looked at")
    assert.strictEqual(watch.sweep({ all, size: 2, hasLeased: false }, 1000), Infinity)
    assert.strictEqual(watch.add(2000), 3000)
  })

  it("are not those that are limited, which end by themselves", () => {
    const watch = new AbandonedLeases<string, string>(() => {})
    const limited = leaseOf(0, true)
    watch.add(0)
    assert.strictEqual(watch.sweep(connectionsWith([limited]), 5000), Infinity)
    assert.isFalse(isGuarded(limited))
  })

  it("are not standing ones, whose holders may be referred to by nothing", () => {
    const watch = new AbandonedLeases<string, string>(() => {})
    const standing = Object.assign(leaseOf(0), { isStanding: true })
    watch.add(0)
    assert.strictEqual(watch.sweep(connectionsWith([standing]), 5000), Infinity)
    assert.isFalse(isGuarded(standing))
  })
})
