import { assert, describe, it } from "@effect/vitest"
import type { Reading } from "../../../src/Monitor/Reading.ts"
import * as ProcText from "../../../src/Monitor/readings/Procfs.ts"

const brief = (reading: Reading): unknown => reading._tag === "Known" ? reading.value : reading._tag

describe("a limit", () => {
  const rows: ReadonlyArray<readonly [string | number | undefined, unknown]> = [
    ["1024", 1024],
    ["536870912\n", 536_870_912],
    [" 7 ", 7],
    [256, 256],
    ["max", "Unlimited"],
    ["max\n", "Unlimited"],
    ["unlimited", "Unlimited"],
    ["infinity", "Unlimited"],
    ["9223372036854771712", "Unlimited"],
    ["9223372036854775807", "Unlimited"],
    ["18446744073709551615", "Unlimited"],
    ["18446744073709551616", "Unlimited"],
    [2 ** 64, "Unlimited"],
    ["0", "Unknown"],
    [0, "Unknown"],
    ["-1", "Unknown"],
    [-1, "Unknown"],
    ["", "Unknown"],
    [" ", "Unknown"],
    ["\n", "Unknown"],
    ["0x10", "Unknown"],
    ["1e3", "Unknown"],
    ["1.5", "Unknown"],
    ["12 34", "Unknown"],
    ["Max", "Unknown"],
    ["NaN", "Unknown"],
    [Number.NaN, "Unknown"],
    [Infinity, "Unknown"],
    [undefined, "Unknown"]
  ]
  it.each(rows)("of %j is %j", (text, expected) => {
    assert.strictEqual(brief(ProcText.limitReading(text, 7, "here", 1)), expected)
  })

  it("of 0 is 0 where that is possible", () => {
    assert.deepStrictEqual(
      ProcText.limitReading("0", 7, "here"),
      { _tag: "Known", value: 0, at: 7, source: "here", exact: true }
    )
  })
})

describe("an amount", () => {
  const rows: ReadonlyArray<readonly [string | number | undefined, unknown]> = [
    ["123", 123],
    ["123\n", 123],
    ["0", "Unknown"],
    ["max", "Unknown"],
    ["18446744073709551615", "Unknown"],
    [2 ** 64, "Unknown"],
    ["", "Unknown"],
    ["-5", "Unknown"],
    [Number.NaN, "Unknown"],
    [undefined, "Unknown"]
  ]
  it.each(rows)("of %j is %j", (text, expected) => {
    assert.strictEqual(brief(ProcText.amountReading(text, 7, "here", 1)), expected)
  })
})

describe("the files of the kernel", () => {
  const limits = "Limit                     Soft Limit           Hard Limit           Units     \n" +
    "Max processes             96365                unlimited            processes \n" +
    "Max open files            1024                 524288               files     \n"

  it("limits: the soft one of the two", () => {
    assert.strictEqual(ProcText.softLimitOf(limits, "Max open files"), "1024")
    assert.strictEqual(ProcText.softLimitOf(limits, "Max processes"), "96365")
    assert.strictEqual(ProcText.softLimitOf("Max processes", "Max processes"), "")
    assert.isUndefined(ProcText.softLimitOf("", "Max processes"))
  })

  it("statm: the resident pages", () => {
    const rows = [
      ["90000 5000 3000 1 0 200 0\n", 5000],
      ["90000 0 0", undefined],
      ["90000", undefined],
      ["", undefined],
      ["a b c", undefined],
      ["1 18446744073709551615", undefined]
    ] as const
    for (const [text, pages] of rows) assert.strictEqual(ProcText.residentPages(text), pages, text)
  })

  it("statm: the pages that the kernel cannot drop", () => {
    const rows = [
      ["90000 5000 3000 1 0 200 0\n", 2000],
      ["90000 5000", undefined],
      ["90000 5000 5000", undefined],
      ["90000 5000 6000", undefined],
      ["90000 5000 x", undefined],
      ["", undefined],
      ["1 18446744073709551615 1", undefined]
    ] as const
    for (const [text, pages] of rows) assert.strictEqual(ProcText.privatePages(text), pages, text)
  })

  it("memory.stat: the value of a whole key", () => {
    const text = "cache 4096\ntotal_inactive_file 8192\ninactive_file 12288\n"
    assert.strictEqual(ProcText.valueOf(text, "inactive_file"), 12_288)
    assert.strictEqual(ProcText.valueOf(text, "total_inactive_file"), 8192)
    assert.isUndefined(ProcText.valueOf(text, "inactive"))
    assert.isUndefined(ProcText.valueOf("inactive_file x", "inactive_file"))
  })

  it("sockstat: TCP sockets in use, none among them that only wait", () => {
    const text = "sockets: used 31\nTCP: inuse 11 orphan 0 tw 2 alloc 14 mem 28\nUDP: inuse 3 mem 0\n"
    assert.strictEqual(ProcText.socketsOf(text), 11)
    assert.strictEqual(ProcText.socketsOf("TCP6: inuse 2\nUDP6: inuse 0\n"), 2)
    assert.strictEqual(ProcText.socketsOf("TCP: inuse 0"), 0)
    for (const nonsense of ["", "UDP: inuse 3", "TCP: inuse", "TCP: inuse -1", "TCP: inuse many"]) {
      assert.isUndefined(ProcText.socketsOf(nonsense), nonsense)
    }
  })

  it("pressure: the share of ten seconds in which some task waited", () => {
    const text = "some avg10=12.50 avg60=3.00 avg300=0.00 total=5\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n"
    const share = (text: string) => brief(ProcText.pressureReading(text, 7, "here"))
    assert.strictEqual(share(text), 0.125)
    assert.strictEqual(share("some avg10=0.00 avg60=0.00 avg300=0.00 total=0"), 0)
    assert.strictEqual(share("some avg10=100.00 avg60=0.00"), 1)
    const nonsense = [
      "",
      "full avg10=1.00 ",
      "some avg10= avg60=1",
      "some avg10=nan ",
      "some avg10=-1.0 ",
      "some avg10=101.00 "
    ]
    for (const text of nonsense) assert.strictEqual(share(text), "Unknown", text)
  })

  it("children: process ids", () => {
    assert.deepStrictEqual(ProcText.childrenOf("12 345 6 \n"), [12, 345, 6])
    for (const text of ["", " ", "0", "x", "-1", "99999999999999999999"]) {
      assert.deepStrictEqual(ProcText.childrenOf(text), [], text)
    }
  })

  it("stat: the fields after a name that may hold anything", () => {
    const after = "Z 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 14 0 104556 0 0"
    const expected = { pid: 77, state: "Z", parent: 1, threads: 14, start: 104_556 }
    for (const command of ["sleep", "a b", "a) Z 9 (b", "", "(((", "ünï"]) {
      assert.deepStrictEqual(ProcText.statOf(`77 (${command}) ${after}\n`), { ...expected, command })
    }
    for (
      const text of [
        "",
        "77",
        "77 (sleep",
        "77 (sleep) Z 1",
        `x (sleep) ${after}`,
        `77 (sleep) ${after.slice(2)}`,
        ") ("
      ]
    ) {
      assert.isUndefined(ProcText.statOf(text), text)
    }
  })
})

describe("any text at all", () => {
  /** Numbers that follow from a seed, the same on every run. */
  const seeded = (seed: number) => () => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31

  const pieces = [
    "0",
    "1",
    "9",
    "18446744073709551616",
    "max",
    "-",
    ".",
    "e",
    " ",
    "\n",
    "TCP: inuse ",
    "some avg10=",
    "(",
    ") ",
    "Max open files ",
    "unlimited",
    "inactive_file ",
    "Z",
    "\u0000",
    "ÿ",
    "NaN",
    "Infinity",
    "0x1"
  ]

  it("gives a reading that is Known only with a finite value of at least 0, and never throws", () => {
    const random = seeded(4)
    let known = 0
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: random() * 6 }, () => pieces[Math.floor(random() * pieces.length)]).join("")
      const readings = [
        ProcText.limitReading(text, 7, "here"),
        ProcText.amountReading(text, 7, "here"),
        ProcText.limitReading(ProcText.softLimitOf(text, "Max open files"), 7, "here"),
        ProcText.amountReading(ProcText.socketsOf(text), 7, "here"),
        ProcText.amountReading(ProcText.residentPages(text), 7, "here"),
        ProcText.amountReading(ProcText.privatePages(text), 7, "here"),
        ProcText.amountReading(ProcText.valueOf(text, "inactive_file"), 7, "here"),
        ProcText.pressureReading(text, 7, "here")
      ]
      for (const reading of readings) {
        if (reading._tag !== "Known") continue
        known++
        assert.isTrue(Number.isFinite(reading.value) && reading.value >= 0, JSON.stringify(text))
      }
      for (const pid of ProcText.childrenOf(text)) {
        assert.isTrue(Number.isSafeInteger(pid) && pid > 0, JSON.stringify(text))
      }
      const stat = ProcText.statOf(text)
      if (stat !== undefined) assert.isTrue(Number.isFinite(stat.start), JSON.stringify(text))
    }
    assert.isAbove(known, 1000)
  })
})
