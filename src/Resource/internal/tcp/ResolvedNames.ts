/**
 * The addresses that names have now, so that connections to addresses which a name has no more are replaced.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Net from "node:net"
import { sleepUnref } from "../../../internal/Timer.ts"
import type { Endpoint, TcpEndpoint } from "../../Endpoint.ts"
import { type Target, targetsOf } from "./AddressLookup.ts"

const addressOf = (target: Target): string => "host" in target ? target.host : target.path

/**
 * What the look-ups of one name have found.
 *
 * All answers of one interval count as one, because servers give a part of their addresses in turns. An address is gone when it is in
 * neither of the last two.
 */
export class ResolvedName {
  readonly #interval: number
  #latest: ReadonlySet<string> = new Set()
  #previous: ReadonlySet<string> = new Set()
  #since = -Infinity
  #isProven = false
  #isTried = false

  constructor(interval: number) {
    this.#interval = interval
  }

  /** A look-up has found these addresses, at a moment in milliseconds. */
  found(addresses: Iterable<string>, now: number): void {
    // A timer may fire a little early.
    if (now - this.#since < this.#interval / 2) {
      this.#latest = new Set([...this.#latest, ...addresses])
      return
    }
    this.#previous = this.#latest
    this.#latest = new Set(addresses)
    this.#since = now
    this.#isProven = false
    this.#isTried = false
  }

  /** A dial to this address has succeeded. */
  connected(address: string): void {
    this.#isProven ||= this.#latest.has(address)
  }

  /**
   * Whether a connection to this address may be leased. Of those whose address is gone, the first makes room for a dial to a new one; the
   * others follow when such a dial has succeeded, so that a wrong answer costs no connection that works.
   */
  mayLease(address: string): boolean {
    if (this.#latest.has(address) || this.#previous.has(address)) return true
    if (this.#isProven) return false
    if (this.#isTried) return true
    this.#isTried = true
    return false
  }
}

/** The name of a dial, from before its look-up until its connection is closed. */
export interface DialedName {
  readonly found: (targets: ReadonlyArray<Target>) => void
  readonly connected: (target: Target) => void
  readonly mayLease: (target: Target) => boolean
  readonly release: () => void
}

interface Entry {
  readonly name: ResolvedName
  /** Dials and connections. */
  users: number
  /** Looks the name up again. */
  readonly refresher: Fiber.Fiber<never>
}

/** The names of a connector. Each is looked up again at an interval, in milliseconds, while connections to it are open. */
export class ResolvedNames {
  readonly #interval: number
  readonly #lookup: Net.LookupFunction | undefined
  readonly #entries = new Map<string, Entry>()

  constructor(interval: number, lookup: Net.LookupFunction | undefined) {
    this.#interval = interval
    this.#lookup = lookup
  }

  /** `undefined` for an endpoint without a name. */
  use(endpoint: Endpoint, context: Context.Context<never>): DialedName | undefined {
    if (endpoint._tag === "UnixEndpoint" || Net.isIP(endpoint.host) !== 0) return undefined
    const { host } = endpoint
    const clock = Context.get(context, Clock.Clock)
    const entry = this.#entries.get(host) ?? this.#begin(endpoint, context, clock)
    entry.users++
    return {
      found: (targets) => entry.name.found(targets.map(addressOf), millisOf(clock)),
      connected: (target) => entry.name.connected(addressOf(target)),
      mayLease: (target) => entry.name.mayLease(addressOf(target)),
      release: () => {
        if (--entry.users > 0) return
        this.#entries.delete(host)
        entry.refresher.interruptUnsafe()
      }
    }
  }

  #begin(endpoint: TcpEndpoint, context: Context.Context<never>, clock: Clock.Clock): Entry {
    const name = new ResolvedName(this.#interval)
    const lookUp = Effect.map(
      targetsOf(endpoint, this.#lookup),
      (targets) => name.found(targets.map(addressOf), millisOf(clock))
    )
    // A failed look-up says nothing of the addresses. Everything else in the context may refer to the scope of one connection.
    const again = Effect.andThen(sleepUnref(this.#interval), Effect.ignore(lookUp))
    const refresher = Effect.runForkWith(Context.pick(Clock.Clock)(context))(Effect.forever(again))
    const entry = { name, users: 0, refresher }
    this.#entries.set(endpoint.host, entry)
    return entry
  }
}

const millisOf = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
