import { assert, describe, it } from "@effect/vitest"
import { decodeLine } from "../../../../src/Resource/internal/jsonrpc/Codec.ts"

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
