/**
 * Faults that are planted in the pool's core, to show that its exploration finds each of them, by the shortest path.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { ConnectionStore } from "../../../src/Pool/internal/ConnectionStore.ts"
import { Dispatcher } from "../../../src/Pool/internal/Dispatch.ts"
import { SlotRelease } from "../../../src/Pool/internal/Endpoints.ts"
import { ResumeQueue } from "../../../src/Pool/internal/WaitQueue.ts"
import * as Explorer from "./PoolCoreExplorer.ts"
import { plain, type Rules } from "./PoolCoreWorld.ts"

// The faults call the right methods with the object that they are called on.
/* oxlint-disable typescript/unbound-method */

const { stackTraceLimit } = Error
// Thousands of refusals need no stacks.
beforeAll(() => void (Error.stackTraceLimit = 0))
afterAll(() => void (Error.stackTraceLimit = stackTraceLimit))

/** Puts a fault in the place of a method or a getter for as long as `body` takes. */
const planted = <T extends object, R>(prototype: T, name: keyof T, fault: PropertyDescriptor, body: () => R): R => {
  const right = Object.getOwnPropertyDescriptor(prototype, name)
  if (right === undefined) throw new Error(`there is no ${String(name)}`)
  Object.defineProperty(prototype, name, { configurable: true, ...fault })
  try {
    return body()
  } finally {
    Object.defineProperty(prototype, name, right)
  }
}

/** The shortest path to the fault of a core that has it, and what is found there. */
const pathTo = (rules: Rules, depth = 4): string => {
  const { found } = Explorer.explore(rules, depth)
  const text = found === undefined ? "nothing is found" : Explorer.formatFound(found)
  // oxlint-disable-next-line effecttsgo/global-console
  console.log(text)
  return text
}

const store = ConnectionStore.prototype

describe("a fault in the pool's core is found", () => {
  it("when the cap of the pool is off by one", () => {
    const path = pathTo({ ...plain, planted: { maxTotal: 3 } })
    assert.match(path, /^3 slots of 2: ask a, ask a, ask b$/)
  })

  it("when the cap of an endpoint is off by one", () => {
    const options = { maxPerEndpoint: 1, maxTotal: 2 }
    const path = pathTo({ ...plain, options, planted: { maxPerEndpoint: 2 } })
    assert.match(path, /^2 slots of 1 for one endpoint: ask a, ask a$/)
  })

  it("when the wake-up after a freed slot is lost", () => {
    const { run } = Dispatcher.prototype
    const { free } = SlotRelease.prototype
    let isFreeing = false
    const skipped = {
      value(this: Dispatcher<unknown, unknown>) {
        if (!isFreeing) run.call(this)
      }
    }
    const freed = {
      value(this: SlotRelease<unknown, unknown>, ...args: Parameters<typeof free>) {
        isFreeing = true
        free.apply(this, args)
        isFreeing = false
      }
    }
    const rules = { ...plain, operator: true }
    const path = planted(
      Dispatcher.prototype,
      "run",
      skipped,
      () => planted(SlotRelease.prototype, "free", freed, () => pathTo(rules))
    )
    assert.match(path, /a borrower waits although it may dial: ask a, ask a, ask b$/)
  })

  it("when a waiter is resumed twice", () => {
    const { add } = ResumeQueue.prototype
    const twice = {
      value(this: ResumeQueue<unknown, unknown>, ...[lease, failure]: Parameters<typeof add>) {
        const { resume } = lease
        add.call(this, lease, failure)
        queueMicrotask(() => resume?.(failure))
      }
    }
    const path = planted(ResumeQueue.prototype, "add", twice, () => pathTo(plain))
    assert.match(path, /resumed twice.*: ask a$/)
  })

  it("when a slot is freed twice", () => {
    const { freeSlot } = store
    const twice = {
      value(this: ConnectionStore<unknown, unknown>, ...[endpoint, slot]: Parameters<typeof freeSlot>) {
        if (slot.state === "Free") slot.state = "Closing"
        return freeSlot.call(this, endpoint, slot)
      }
    }
    const path = planted(store, "freeSlot", twice, () => pathTo({ ...plain, leavesBehind: true }))
    assert.match(path, / in the world, 0,0,-1,0,0 in the core: ask a, open 0, end 0 Interruption, leave close 0$/)
  })

  it("when the item of a promised connection can be leased by another borrower", () => {
    const { takeItem } = store
    const broken = {
      value(this: ConnectionStore<unknown, unknown>, ...[connection]: Parameters<typeof takeItem>) {
        if (connection.slot.item.leases > 0) takeItem.call(this, connection)
      }
    }
    const path = planted(store, "takeItem", broken, () => pathTo(plain))
    assert.match(path, /1,0,0 in the endpoint's Pool, 0,1,0 in the core: ask a, end 0 Interruption, open 0, ask a$/)
  })
})
