import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as EffectHost from "effect/net/Host"
import { canonical } from "../../src/Resource/Host.ts"

const known = (host: string): Result.Result<string, string> =>
  Result.mapBoth(EffectHost.hostFromString(host), {
    onSuccess: EffectHost.formatHost,
    onFailure: (error) => error.message
  })

const hosts = [
  ...["", ".", "..", "a", "A.", "a..b", ".a", "a-", "-a", "a_b", "_srv._tcp.db", "1a", "a.1", "a.0x", "a.0x1F", "0xg"],
  ...["x".repeat(63), "x".repeat(64), `${"x.".repeat(126)}x`, `${"x.".repeat(126)}xx`, `${"x.".repeat(126)}x.`],
  ...[
    "1.2.3.4",
    "1.2.3.4.",
    "1.2.3",
    "1",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "0.0.0.0",
    "255.255.255.255",
    "1..2.3"
  ],
  ...["münchen.de", "MÜNCHEN.de", "1.2.3.4", "例え.テスト", "a。b", "ü@b", "ü/b", "ü:80", "\ud800", "a\u00adb", "ﬁ.x"],
  ...["a b", "a\tb", "a\n", "a@b", "a/b", "a?b", "a#b", "a\\b", "a%41", "é%41", "a\0"],
  ...["::", "::1", "1::", "::1::", ":", ":::", "1:", ":1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9"],
  ...[
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1::2:3:4:5:6:7:8",
    "0:0:0:0:0:0:0:0",
    "1:0:0:2:0:0:0:3",
    "1:0:0:2:0:0:3:4"
  ],
  ...[
    "1:0:2:3:4:5:6:7",
    "2001:DB8::00aF",
    "12345::",
    "g::",
    "::ffff:1.2.3.4",
    "::ffff:102:304",
    "::FFFF:0:0",
    "::1.2.3.4"
  ],
  ...[
    "::ffff:0:1.2.3.4",
    "64:ff9b::1.2.3.4",
    "::1.2.3",
    "::01.2.3.4",
    "::256.1.1.1",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "::1.2.3.4.5"
  ],
  ...[
    "1:2:3:4:5:6:1.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4",
    "[::1]",
    "::1]",
    "::\t1",
    "::1\n",
    " ::1",
    "::1/64",
    "::1?",
    "::0x1",
    "::１"
  ],
  ...[
    "fe80::1%eth0",
    "fe80::1%1",
    "fe80::1%01",
    "fe80::1%",
    "%",
    "%1",
    "fe80::1%a b",
    "fe80::1%a%b",
    "fe80::1%[",
    "a%b"
  ],
  ...["fe80::1%4294967295", "fe80::1%4294967296", "FE80::0:1%ETH0", "1.2.3.4%1", "fe80::1%a/b", "fe80::1%a\u0085"]
]

/** Texts of pieces that hosts are made of, always the same ones. */
const texts = (count: number, pieces: ReadonlyArray<string>): ReadonlyArray<string> => {
  let state = 1
  const next = (bound: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor(state / 2 ** 32 * bound)
  }
  return Array.from(
    { length: count },
    () => Array.from({ length: 1 + next(12) }, () => pieces[next(pieces.length)]).join("")
  )
}

const pieces = {
  ipv6: ["0", "0:", ":", "::", "1", "ab:", "F00D:", "ffff:", "0000:", "1.2.3.4", ".", "9", "g", "%", "12345"],
  groups: ["0:", "0:", "0:", "1:", "a:", "ffff:", "::", "8", "1.2.3.4"],
  ipv4: ["0", "1", "9", "10", "25", "255", ".", ".", ".", "00"],
  names: ["a", "B", "-", "_", ".", ".", "0", "0x", "9", "ü", "ß", "。", " ", "@", "x".repeat(40), "%"]
}

const assertSame = (host: string): void => {
  const [ours, theirs] = [canonical(host), known(host)]
  const isAddress = /[:%]/.test(host)
  // What is wrong with an IPv6 address is said in one sentence here.
  if (isAddress && Result.isFailure(theirs)) assert.isTrue(Result.isFailure(ours), JSON.stringify(host))
  else assert.deepStrictEqual(ours, theirs, JSON.stringify(host))
}

describe("Host", () => {
  it("takes, spells and refuses hosts as effect/net/Host does", () => hosts.forEach(assertSame))

  it.each(Object.entries(pieces))(
    "agrees with effect/net/Host on random texts of %s",
    (_, parts) => texts(20_000, parts).forEach(assertSame)
  )

  it("says what an IPv6 address is", () => {
    for (const host of ["1:2", ":::", "::1.2.3.256"]) {
      assert.deepStrictEqual(
        canonical(host),
        Result.fail(
          "an IPv6 address is eight groups of one to four hexadecimal digits, of which :: may leave out zeros"
        )
      )
    }
  })
})
