import { assert, describe, it } from "@effect/vitest"
import { LiveList } from "../../src/internal/LiveList.ts"

describe("a list of what is alive", () => {
  it("tells each listener of each change, and once of an item that leaves twice", () => {
    const list = new LiveList<string>()
    const seen: Array<string> = []
    const listen = () => seen.push([...list.all].join(","))
    const stop = list.onChange(listen)
    list.onChange(listen)
    const leave = list.add("a")
    list.add("b")
    stop()
    leave()
    leave()
    assert.deepStrictEqual(seen, ["a", "a", "a,b", "a,b", "b"])
  })

  it("keeps an item that was added twice until its second removal", () => {
    const list = new LiveList<string>()
    let changes = 0
    list.onChange(() => changes++)
    const first = list.add("a")
    const second = list.add("a")
    assert.deepStrictEqual([...list.all], ["a"])
    first()
    first()
    assert.deepStrictEqual([...list.all], ["a"])
    second()
    assert.deepStrictEqual([...list.all], [])
    assert.strictEqual(changes, 2)
  })
})
