import { assert, describe, it } from "@effect/vitest"
import { LineBuffer } from "../../../../src/Resource/internal/jsonrpc/LineBuffer.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

describe("LineBuffer", () => {
  it("gives the same lines however the bytes are split, also inside a character", () => {
    const text = "{\"a\":\"grüße 🌍\"}\r\n\n\r\nsecond\nthird line\n"
    const whole = bytes(text)
    for (let size = 1; size <= whole.length; size++) {
      const buffer = new LineBuffer(100)
      const lines: Array<string | Uint8Array> = []
      for (let at = 0; at < whole.length; at += size) {
        const pushed = buffer.push(whole.subarray(at, at + size))
        assert.isFalse(pushed.tooLong)
        lines.push(...pushed.lines)
      }
      assert.deepStrictEqual(lines, ["{\"a\":\"grüße 🌍\"}", "second", "third line"], `chunks of ${size}`)
    }
  })

  it("keeps its own copy, so a chunk may be reused by its giver", () => {
    const buffer = new LineBuffer(100)
    const chunk = bytes("begin")
    buffer.push(chunk)
    chunk.fill(0x78)
    assert.deepStrictEqual(buffer.push(bytes(" end\n")).lines, ["begin end"])
  })

  it("takes a line of exactly the limit and refuses one byte more, also before it has ended", () => {
    assert.deepStrictEqual(new LineBuffer(4).push(bytes("1234\n12")), { lines: ["1234"], tooLong: false })
    assert.deepStrictEqual(new LineBuffer(4).push(bytes("ok\n12345\n")), { lines: ["ok"], tooLong: true })
    assert.deepStrictEqual(new LineBuffer(4).push(bytes("ok\n12345")), { lines: ["ok"], tooLong: true })
    const slow = new LineBuffer(4)
    for (const byte of "1234") assert.isFalse(slow.push(bytes(byte)).tooLong)
    assert.isTrue(slow.push(bytes("5")).tooLong)
  })

  it("says that a line is not UTF-8 instead of guessing", () => {
    assert.deepStrictEqual(new LineBuffer(9).push(Uint8Array.of(0xff, 0x0a)).lines, [Uint8Array.of(0xff)])
    const buffer = new LineBuffer(9)
    buffer.push(Uint8Array.of(0xff))
    const { lines } = buffer.push(Uint8Array.of(0xfe, 0x0a))
    buffer.push(bytes("other"))
    assert.deepStrictEqual(lines, [Uint8Array.of(0xff, 0xfe)])
  })

  it("puts a large line together from single bytes without copying it again for each", () => {
    const size = 1 << 20
    const buffer = new LineBuffer(size)
    const byte = bytes("x")
    // Copying all for each byte would move 2^39 bytes and run into the time limit of the test.
    for (let i = 0; i < size; i++) buffer.push(byte)
    assert.strictEqual(buffer.push(bytes("\n")).lines[0]?.length, size)
  })
})
