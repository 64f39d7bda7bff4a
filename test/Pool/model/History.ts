/**
 * Random histories of a pool: what borrowers, peers and operators do to it, as data that can be printed and cut.
 */

export const keys = ["a", "b", "c", "d", "e"] as const

/** What is scripted for an endpoint: its dials, its checks (on borrow and while idle), and the pool's three hooks. */
export const scripted = ["dials", "checks", "afterOpen", "beforeLend", "afterReturn"] as const

export type Scripted = typeof scripted[number]

/** What happens in a dial, a check or a hook. */
export type Conduct = "works" | "is slow" | "fails" | "fails slowly" | "hangs" | "dies"

export type Ending = "succeeds" | "fails" | "dies" | "invalidates" | "is killed" | "never ends"

/** Whether a borrower keeps its connection for itself alone: as long as it has it, or even longer. */
export type Reservation = "none" | "while held" | "beyond"

export interface Borrow {
  readonly do: "borrow"
  readonly key: string
  readonly hold: number
  readonly ending: Ending
  readonly by: "use" | "get"
  readonly reserves: Reservation
  /** What the same fiber borrows while it holds this one. */
  readonly inner: Borrow | undefined
}

export type Step =
  | Borrow
  | { readonly do: "cancel" | "invalidate" | "kill"; readonly which: number }
  | { readonly do: "pass"; readonly millis: number }
  | { readonly do: "evict"; readonly key: string | undefined }
  | { readonly do: "resize"; readonly maxPerEndpoint: number; readonly maxTotal: number }
  | { readonly do: "suspend"; readonly mode: "wait" | "fail" }
  | { readonly do: "resume" }
  | { readonly do: "settle" }
  | { readonly do: Scripted; readonly key: string; readonly conduct: Conduct }
  | { readonly do: "closes"; readonly key: string; readonly millis: number }

export interface History {
  readonly seed: number
  readonly options: {
    readonly maxPerEndpoint: number
    readonly maxTotal: number
    readonly concurrency: number
    readonly acquireTimeout: number
    readonly idleTimeout: number
    readonly maxLifetime: number
    readonly checkAfterIdle: number
    readonly keepalive: number
    readonly minPerEndpoint: number
    readonly maxAttempts: number
  }
  /** The hooks that the pool has. */
  readonly hooks: ReadonlyArray<"afterOpen" | "beforeLend" | "afterReturn">
  readonly opsBeforeYield: number
  readonly steps: ReadonlyArray<Step>
  /** Leases are reported after a while, or limited: then a `use` runs on a fiber of the pool's. No history takes as long as the limit. */
  readonly watch: { readonly leakThreshold?: number; readonly maxLease?: number }
  /** Drains the pool in the middle of everything, or lets everybody finish first. */
  readonly end: "drain" | "finish"
}

/** Mulberry32: small, fast, and the same everywhere. */
const numbers = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const conducts: ReadonlyArray<Conduct> = ["works", "is slow", "fails", "fails slowly", "hangs", "dies"]
const endings: ReadonlyArray<Ending> = [
  "succeeds",
  "succeeds",
  "fails",
  "dies",
  "invalidates",
  "is killed",
  "never ends"
]

/** The history of a seed. */
export const make = (seed: number): History => {
  const next = numbers(seed)
  const upTo = (most: number) => Math.floor(next() * (most + 1))
  const oneOf = <A>(first: A, ...others: ReadonlyArray<A>): A => [first, ...others][upTo(others.length)] ?? first
  // Most histories crowd on few endpoints, where there is something to wait for.
  const crowded = 1 + upTo(keys.length - 1)
  const key = () => keys[upTo(crowded - 1)] ?? keys[0]
  const caps = () => {
    const maxPerEndpoint = 1 + upTo(2)
    return { maxPerEndpoint, maxTotal: Math.max(maxPerEndpoint, 1 + upTo(5)) }
  }
  const borrow = (depth = 0): Borrow => ({
    do: "borrow",
    key: key(),
    hold: oneOf(0, 0, 1, 5, 12),
    ending: oneOf(...endings as [Ending, ...Array<Ending>]),
    by: oneOf("use", "get"),
    reserves: oneOf<Reservation>("none", "none", "none", "none", "while held", "beyond"),
    inner: depth < 2 && next() < 0.15 ? borrow(depth + 1) : undefined
  })
  const hooks = oneOf(true, false)
    ? []
    : (["afterOpen", "beforeLend", "afterReturn"] as const).filter(() => oneOf(true, false))
  const anyHook = (): Scripted => hooks[upTo(hooks.length - 1)] ?? "checks"
  const trouble = (): Step =>
    oneOf<() => Step>(
      () => ({ do: oneOf("cancel", "cancel", "invalidate", "kill"), which: upTo(20) }),
      () => ({ do: "evict", key: oneOf(undefined, key()) }),
      () => ({ do: "resize", ...caps() }),
      () => ({ do: "suspend", mode: oneOf("wait", "wait", "fail") }),
      () => ({ do: "resume" }),
      () => ({ do: "dials", key: key(), conduct: oneOf("works", ...conducts) }),
      () => ({ do: "checks", key: key(), conduct: oneOf("works", ...conducts) }),
      () => ({ do: anyHook(), key: key(), conduct: oneOf("works", "is slow", ...conducts) }),
      () => ({ do: anyHook(), key: key(), conduct: oneOf("works", "is slow", ...conducts) }),
      () => ({ do: "closes", key: key(), millis: oneOf(0, 3, 20) })
    )()
  const step = (): Step => {
    const kind = next()
    return kind < 0.45
      ? borrow()
      : kind < 0.65
      ? { do: "pass", millis: oneOf(1, 2, 5, 10, 30) }
      : kind < 0.7
      ? { do: "settle" }
      : trouble()
  }
  const first = caps()
  return {
    seed,
    options: {
      ...first,
      minPerEndpoint: Math.min(oneOf(0, 0, 0, 1, 2), first.maxPerEndpoint),
      keepalive: oneOf(Infinity, Infinity, 7),
      concurrency: oneOf(1, 1, 2, 3),
      acquireTimeout: oneOf(25, 60, 200),
      idleTimeout: oneOf(20, 60_000),
      maxLifetime: oneOf(40, 60_000),
      checkAfterIdle: oneOf(0, 4),
      maxAttempts: oneOf(1, 2, 3)
    },
    hooks,
    opsBeforeYield: oneOf(2048, 2048, 2048, 3 + upTo(40)),
    steps: Array.from({ length: 10 + upTo(oneOf(0, 4, 20)) }, step),
    end: oneOf("drain", "drain", "finish"),
    watch: { ...oneOf({}, { leakThreshold: 6 }), ...oneOf({}, {}, { maxLease: 1e7 }) }
  }
}

/** Leaves out steps for as long as the history still fails. */
export const shrink = async (history: History, fails: (history: History) => Promise<boolean>): Promise<History> => {
  let shortest = history
  for (let size = Math.ceil(history.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < shortest.steps.length;) {
      const steps = [...shortest.steps.slice(0, start), ...shortest.steps.slice(start + size)]
      if (await fails({ ...shortest, steps })) shortest = { ...shortest, steps }
      else start += size
    }
  }
  return shortest
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => part === Infinity ? "Infinity" : part)

/** The history as text, one step a line. */
export const format = ({ steps, ...rest }: History): string =>
  [show(rest), ...steps.map((step) => `  ${show(step)}`)].join("\n")
