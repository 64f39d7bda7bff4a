import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as Failure from "effect-sluice/Failure"

/** The wait in milliseconds that an error asks for. */
const waitOf = (error: unknown, options?: Failure.ClassifyOptions): number | undefined => {
  const { retryAfter } = Failure.classify(error, options)
  return retryAfter === undefined ? undefined : Duration.toMillis(retryAfter)
}

const answer = (headers: unknown, status = 429) => ({ status, headers })

describe("Failure's retryAfter", () => {
  it.each([
    ["7", 7000],
    [" 7 ", 7000],
    ["0", 0],
    ["1.5", 1500],
    ["86400", 86_400_000],
    [3, 3000],
    [["4", "5"], 4000]
  ])("reads %j as seconds", (value, expected) => {
    assert.strictEqual(waitOf(answer({ "retry-after": value })), expected)
  })

  it.each([
    ["-1"],
    ["soon"],
    [""],
    ["1e9"],
    ["0x10"],
    ["Infinity"],
    ["9".repeat(400)],
    ["12:30"],
    ["2015-10-21"],
    [null],
    [{}],
    [true],
    [[]]
  ])("does not understand %j", (value) => {
    assert.isUndefined(waitOf(answer({ "retry-after": value, "date": "Wed, 21 Oct 2015 07:28:00 GMT" })))
  })

  it("is found in every kind of headers, whatever their case", () => {
    const kinds = [
      { "Retry-After": "2" },
      { "retry-after": "2" },
      { "RETRY-AFTER": "2" },
      new Headers({ "Retry-After": "2" }),
      new Map([["retry-after", "2"]])
    ]
    for (const headers of kinds) {
      assert.strictEqual(waitOf(answer(headers)), 2000)
      assert.strictEqual(waitOf({ response: answer(headers) }), 2000)
      assert.strictEqual(waitOf({ $metadata: { httpStatusCode: 503 }, $response: { headers } }), 2000)
      assert.strictEqual(waitOf({ cause: answer(headers, 503) }), 2000)
    }
  })

  it("reads the three forms of a date against the answer's own clock, in any time zone", () => {
    const zone = process.env["TZ"]
    try {
      for (const place of ["UTC", "Asia/Kathmandu", "America/St_Johns"]) {
        process.env["TZ"] = place
        for (
          const date of ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        ) {
          const headers = { "retry-after": date, "date": "Sun, 06 Nov 1994 08:49:07 GMT" }
          assert.strictEqual(waitOf(answer(headers)), 30_000, `${date} in ${place}`)
        }
      }
    } finally {
      if (zone === undefined) delete process.env["TZ"]
      else process.env["TZ"] = zone
    }
  })

  it("a date that has passed asks for no wait", () => {
    const headers = { "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:29:00 GMT" }
    assert.strictEqual(waitOf(answer(headers)), 0)
  })

  it("a date in an answer without one is read against the time it is given, and else not at all", () => {
    const headers = { "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT" }
    assert.isUndefined(waitOf(answer(headers)))
    assert.strictEqual(waitOf(answer(headers), { now: Date.UTC(2015, 9, 21, 7, 28, 0) }), 30_000)
    assert.isUndefined(waitOf(answer(headers), { now: NaN }))
    const wrong = { ...headers, "date": "Wed, 21 Oct 2015 07:28:10 GMT" }
    assert.strictEqual(waitOf(answer(wrong), { now: 0 }), 20_000)
  })

  it("prefers retry-after-ms, which is more exact", () => {
    assert.strictEqual(waitOf(answer({ "retry-after-ms": "120", "retry-after": "1" })), 120)
    for (const millis of ["soon", "-1", "9".repeat(400)]) {
      assert.strictEqual(waitOf(answer({ "retry-after-ms": millis, "retry-after": "1" })), 1000)
    }
  })

  it("makes 503 saturation, and changes no other class", () => {
    const wait = { "retry-after": "1" }
    const classes = [503, 500, 502, 404, 408].map((status) => Failure.classify(answer(wait, status)).class)
    assert.deepStrictEqual(classes, ["RemoteSaturated", "Ambiguous", "Ambiguous", "Fatal", "Transient"])
  })
})

/** A varint of protocol buffers. */
const varint = (value: number): Array<number> =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]

const message = (id: number, bytes: ReadonlyArray<number>) => [id * 8 + 2, ...varint(bytes.length), ...bytes]
const number = (id: number, value: number) => [id * 8, ...varint(value)]
const text = (value: string) => [...new TextEncoder().encode(value)]

const retryInfo = (seconds: number, nanos: number) =>
  message(1, [...(seconds === 0 ? [] : number(1, seconds)), ...(nanos === 0 ? [] : number(2, nanos))])
const any = (type: string, value: ReadonlyArray<number>) =>
  message(3, [...message(1, text(`type.googleapis.com/google.rpc.${type}`)), ...message(2, value)])
const status = (...details: ReadonlyArray<ReadonlyArray<number>>) =>
  Uint8Array.from([...number(1, 14), ...message(2, text("busy")), ...details.flat()])

const grpc = (metadata: Record<string, unknown>, code = 14) => ({
  code,
  details: "busy",
  metadata: { get: (name: string) => name in metadata ? [metadata[name]] : [] }
})

describe("Failure's retryAfter of gRPC", () => {
  it("is the pushback, and a negative or unreadable one means that there is no retry", () => {
    assert.strictEqual(waitOf(grpc({ "grpc-retry-pushback-ms": "250" })), 250)
    assert.strictEqual(Failure.classify(grpc({ "grpc-retry-pushback-ms": "250" })).class, "Transient")
    for (const value of ["-1", "no", ""]) {
      const failure = Failure.classify(grpc({ "grpc-retry-pushback-ms": value }))
      assert.deepStrictEqual(failure, { class: "Fatal", code: "UNAVAILABLE" })
    }
  })

  it.each([[0, 0], [1, 0], [0, 250_000_000], [90, 500_000_000], [86_400, 0]])(
    "is the RetryInfo of the status: %i s and %i ns",
    (seconds, nanos) => {
      const details = status(any("DebugInfo", text("stack")), any("RetryInfo", retryInfo(seconds, nanos)))
      assert.strictEqual(waitOf(grpc({ "grpc-status-details-bin": details })), seconds * 1000 + nanos / 1e6)
      const unpacked = [{ type: "google.rpc.RetryInfo", value: Uint8Array.from(retryInfo(seconds, nanos)) }]
      assert.strictEqual(waitOf({ code: 14, rawMessage: "busy", details: unpacked }), seconds * 1000 + nanos / 1e6)
    }
  )

  it("is none when the RetryInfo is negative, cut off, or not there", () => {
    const negative = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]
    for (const delay of [[8, ...negative], [16, ...negative], [...number(2, 1e9)]]) {
      const details = status(any("RetryInfo", message(1, delay)))
      assert.isUndefined(waitOf(grpc({ "grpc-status-details-bin": details })))
    }
    assert.isUndefined(waitOf(grpc({ "grpc-status-details-bin": status(any("DebugInfo", text("stack"))) })))
    assert.isUndefined(waitOf(grpc({})))
  })

  it("survives every cut and every changed byte of a status", () => {
    const details = status(any("DebugInfo", text("stack")), any("RetryInfo", retryInfo(3, 5_000_000)))
    for (let at = 0; at < details.length; at++) {
      const cut = grpc({ "grpc-status-details-bin": details.slice(0, at) })
      assert.deepStrictEqual(Failure.classify(cut), { class: "Transient", code: "UNAVAILABLE" })
      for (const byte of [0, 7, 127, 128, 255]) {
        const broken = details.with(at, byte)
        const wait = waitOf(grpc({ "grpc-status-details-bin": broken }))
        assert.isTrue(wait === undefined || (wait >= 0 && Number.isFinite(wait)))
      }
    }
  })
})

describe("Failure's retryAfter of other errors", () => {
  it("is the Duration that any of them carries, the outermost first", () => {
    const inner = { _tag: "CircuitOpen", isRetryable: true, retryAfter: Duration.seconds(4) }
    assert.strictEqual(waitOf({ _tag: "RetryError", reason: inner }), 4000)
    assert.strictEqual(waitOf({ retryAfter: Duration.seconds(1), cause: inner }), 1000)
    assert.strictEqual(waitOf({ code: "53300", retryAfter: Duration.millis(0.25) }), 0.25)
    // A number has no unit, and a text is anybody's.
    for (const retryAfter of [3, "3 seconds", "3"]) assert.isUndefined(waitOf({ code: "53300", retryAfter }))
  })

  it("a header is closer to the server than a field", () => {
    assert.strictEqual(waitOf({ status: 429, headers: { "retry-after": "2" }, retryAfter: Duration.seconds(9) }), 2000)
  })
})
