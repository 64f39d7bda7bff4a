import { assert, describe, it } from "@effect/vitest"
import { decodeLine, LineBuffer } from "../../src/Resource/JsonRpcCodec.ts"

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

describe("decodeLine", () => {
  const rule = (line: string): string => {
    const message = decodeLine(line)
    return message._tag === "Malformed" ? message.rule : `${message._tag} was accepted`
  }

  it.each([
    ["nonsense", "be JSON"],
    ["", "be JSON"],
    ["1", "be a JSON object (batches are not supported)"],
    ["null", "be a JSON object (batches are not supported)"],
    ["[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}]", "be a JSON object (batches are not supported)"],
    ["{\"id\":1,\"result\":1}", "have \"2.0\" as its jsonrpc"],
    ["{\"jsonrpc\":\"1.0\",\"id\":1,\"result\":1}", "have \"2.0\" as its jsonrpc"],
    ["{\"jsonrpc\":\"2.0\",\"id\":1}", "have a method, a result or an error"],
    ["{\"jsonrpc\":\"2.0\",\"method\":7}", "have a string as its method"],
    ["{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":7}", "have an object or an array as its params"],
    ["{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":null}", "have a string or a number as its id"],
    [
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{\"code\":1,\"message\":\"\"}}",
      "have a result or an error, not both"
    ],
    [
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1.5,\"message\":\"\"}}",
      "have an error with a whole number as its code and a string as its message"
    ],
    ["{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":\"no\"}", "have a method, a result or an error"]
  ])("refuses %s", (line, expected) => assert.strictEqual(rule(line), expected))

  it("takes a result of null, and an error of null beside a result", () => {
    assert.deepStrictEqual(decodeLine("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}"), {
      _tag: "Answer",
      id: 1,
      result: null
    })
    assert.strictEqual(decodeLine("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7,\"error\":null}")._tag, "Answer")
  })
})
