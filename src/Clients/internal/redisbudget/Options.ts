/**
 * The options of a budget at Redis, checked and with their defaults.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { InvalidOption } from "../../../internal/InvalidOption.ts"
import { aboveZero, checkOptions, type OptionCheck } from "../../../internal/Options.ts"
import { checkOwnOptions } from "../OwnOptions.ts"
import * as RedisSettings from "../redis/Settings.ts"

/**
 * What a budget does while its store does not answer:
 *
 * - `"share"`: the process may have `max(1, floor(limit / maxInstances))` permits, those that it has included, and none if the limit is 0.
 * - `"fail"`: no permit is given. Borrowers wait until they run out of time.
 * - `"allow"`: each connection may be opened, so that only the server's own limit holds.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export type OnStoreError = "share" | "fail" | "allow"

/**
 * How a process that waits learns of its permit:
 *
 * - `"subscribe"`: by a message on a second connection, which all permits of the process share. For processes that live long.
 * - `"poll"`: it asks again, the sooner the shorter the queue before it is. It takes more scripts and no second connection. For functions, which
 *   miss messages while they are frozen.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export type Wake = "subscribe" | "poll"

/** Options with which the connection to the store is opened. */
type StoreOptions =
  | "url"
  | "host"
  | "port"
  | "path"
  | "tls"
  | "username"
  | "password"
  | "database"
  | "clientName"
  | "clientOptions"

/**
 * The options of a budget.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Options extends Pick<RedisSettings.Options, StoreOptions> {
  /** The name of the budget at the store: the same in all processes that share it, and another for each server. Without braces. */
  readonly key: string
  /** Most connections of all processes together, unless an operator has set another limit; a whole number of at least 1. */
  readonly connections: number
  /**
   * How long a permit lasts unless it is renewed: from 1 second to 1 day. A process renews its permits when a third has passed. It has to be
   * longer than the server lets a connection of a frozen process live. With `invocation`, it is how much longer than the invocation a permit
   * lasts. @default 60 seconds
   */
  readonly lease?: Duration.Input | undefined
  /**
   * For functions: how much time the present invocation has left, such as `Lambda.remaining`. A permit lasts for this time and `lease`, and is never
   * renewed. @default none, so that permits are renewed
   */
  readonly invocation?: Effect.Effect<Duration.Input> | undefined
  /** What happens while the store does not answer. @default "share" */
  readonly onStoreError?: OnStoreError | undefined
  /** Most processes that share the budget, for `"share"`; a whole number of at least 1. @default `connections` */
  readonly maxInstances?: number | undefined
  /**
   * How long the first connection to the store may take, loading the client included; above 0. A borrower waits for it for at most half of the time
   * that it has left. @default 5 seconds
   */
  readonly connectTimeout?: Duration.Input | undefined
  /**
   * How long a call of the store may take, the opening of each later connection included; above 0. Time in which the process does not run, because it
   * is stopped or waits for a processor, does not count. @default 100 millis
   */
  readonly storeTimeout?: Duration.Input | undefined
  /** How a process that waits learns of its permit. @default "subscribe", or "poll" with `invocation` */
  readonly wake?: Wake | undefined
}

/** How long the permits of a budget last. `millis` is counted from the last renewal, or from the end of the invocation. */
export type Lease =
  | { readonly _tag: "Warm"; readonly millis: number }
  | { readonly _tag: "Invocation"; readonly millis: number; readonly remaining: Effect.Effect<Duration.Input> }

/** The options with their defaults. */
export interface Settings {
  readonly key: string
  readonly connections: number
  readonly lease: Lease
  readonly onStoreError: OnStoreError
  readonly maxInstances: number
  /** In milliseconds, as `storeTimeout` is. */
  readonly connectTimeout: number
  readonly storeTimeout: number
  readonly wake: Wake
  readonly store: RedisSettings.Options
}

const module = "RedisBudget"

/** The longest lease: a day, in milliseconds. */
const longest = 86_400_000

const oneOf = <A extends string>({ require }: OptionCheck, option: string, value: A, all: ReadonlyArray<A>): A => {
  require(all.includes(value), option, value, `be ${all.map((each) => `"${each}"`).join(" or ")}`)
  return value
}

const leaseOf = (check: OptionCheck, { invocation, lease }: Options): Lease => {
  const millis = Math.round(check.millis("lease", lease ?? "60 seconds", { min: 1000 }))
  check.require(millis <= longest, "lease", lease, "be at most 1 day")
  if (invocation === undefined) return { _tag: "Warm", millis }
  check.require(Effect.isEffect(invocation), "invocation", invocation, "be an Effect of a duration")
  return { _tag: "Invocation", millis, remaining: invocation }
}

const storeOf = (
  options: Options,
  { connectTimeout, storeTimeout }: Pick<Settings, "connectTimeout" | "storeTimeout">
): RedisSettings.Options => ({
  name: "redis-budget",
  url: options.url,
  host: options.host,
  port: options.port,
  path: options.path,
  tls: options.tls,
  username: options.username,
  password: options.password,
  database: options.database,
  clientName: options.clientName,
  clientOptions: options.clientOptions,
  // A request is made twice before its connection counts as dead.
  commandTimeout: 2.5 * storeTimeout,
  connectTimeout: Math.max(storeTimeout, connectTimeout),
  // Calls have a shorter deadline of their own.
  acquireTimeout: Math.max(storeTimeout, connectTimeout),
  // A store that refuses connections is not waited for.
  whenUnavailable: "fail",
  // The budget asks again by itself, and has to know at once when the store is back.
  maxRedialDelay: Math.max(storeTimeout, 250)
})

/** Checks options and applies their defaults. Throws `InvalidOption`. */
export const settingsOf = (options: Options): Settings => {
  const check = checkOptions(module)
  const { key } = options
  check.require(typeof key === "string" && /^[^\s{}]+$/.test(key), "key", key, "be a text without braces and spaces")
  const connections = check.whole("connections", options.connections, { min: 1, max: 1_000_000 })
  const storeTimeout = check.millis("storeTimeout", options.storeTimeout ?? "100 millis", aboveZero)
  const connectTimeout = check.millis("connectTimeout", options.connectTimeout ?? "5 seconds", aboveZero)
  const lease = leaseOf(check, options)
  const store = storeOf(options, { connectTimeout, storeTimeout })
  // It throws where the store's own options are invalid.
  checkOwnOptions(module, () => RedisSettings.settingsOf(store))
  return {
    key,
    connections,
    lease,
    onStoreError: oneOf(check, "onStoreError", options.onStoreError ?? "share", ["share", "fail", "allow"]),
    maxInstances: check.whole("maxInstances", options.maxInstances ?? connections, { min: 1 }),
    connectTimeout,
    storeTimeout,
    wake: oneOf(check, "wake", options.wake ?? (lease._tag === "Invocation" ? "poll" : "subscribe"), [
      "subscribe",
      "poll"
    ]),
    store
  }
}

/** The time that an invocation has left, in milliseconds. It is below 0 when the invocation should have ended. */
const leftOf = (value: Duration.Input): number => {
  // NaN would become zero.
  const left = Number.isNaN(value) ? Option.none() : Duration.fromInput(value)
  if (Option.isSome(left)) return Duration.toMillis(left.value)
  throw new InvalidOption({ module, option: "invocation", value, rule: `give a duration, such as "5 seconds"` })
}

/** The lease of a permit that is taken now, in whole milliseconds. */
export const leaseMillis = (lease: Lease): Effect.Effect<number> =>
  lease._tag === "Warm"
    ? Effect.succeed(lease.millis)
    : Effect.map(lease.remaining, (left) => Math.min(Math.max(Math.ceil(leftOf(left)), 0) + lease.millis, longest))
