/**
 * The options of a pool, their defaults and their rules, and presets for common loads.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { hasProperty } from "effect/Predicate"
import type { CallSite } from "../internal/CallSite.ts"
import { checkOptions } from "../internal/Options.ts"
import type { Connector } from "../Resource/Connector.ts"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"

/**
 * What is done with a connection on its way. A hook that fails closes the connection, and no borrower sees it; each hook
 * must end within `connectTimeout`. A failure of `beforeLend` or `afterReturn` is logged at `References.UnhandledLogLevel`, once a
 * minute for an endpoint. A hook must not borrow from its own pool: it would wait for the slot that it holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hooks<in A, out E = never, out R = never> {
  /** After it was opened, as the last step of opening: its failure is a failure to open. */
  readonly afterOpen?: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  /**
   * Each time before it is leased, within the borrow's deadline. On a new connection its failure is a failure to open: one that
   * borrowers waited for, or any other in its first second that was ready for no borrower yet.
   */
  readonly beforeLend?: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  /** Each time its last borrower has returned it, before another one gets it. */
  readonly afterReturn?: ((connection: A) => Effect.Effect<void, E, R>) | undefined
}

/**
 * How a pool opens, keeps, leases and closes connections. Everything but the connector has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<K, A, E, R> {
  /** Opens connections, and says when they die. */
  readonly connector: Connector<K, A, E, R>
  /**
   * The name of the pool in metrics, spans, warnings and its registry: 1 to 200 characters, none of them a control character.
   * @default none, or the key of its `Service`
   */
  readonly name?: string | undefined
  /** The one endpoint of a `Service`, whose members take no key then. @default none */
  readonly endpoint?: NoInfer<K> | undefined
  /**
   * Most connections of a pool with one endpoint, in place of `maxPerEndpoint` and `maxTotal`, each of which may only repeat it: a whole
   * number of at least 1. @default none
   */
  readonly maxConnections?: number | undefined
  /** Most connections to one endpoint, whatever their state: a whole number of at least 1. @default 2 */
  readonly maxPerEndpoint?: number | undefined
  /** Most connections in all, at least `maxPerEndpoint`. @default 5, or `maxPerEndpoint` if that is more */
  readonly maxTotal?: number | undefined
  /**
   * Connections that are kept for each endpoint that was used, however long they are idle. They are opened in the
   * background and never at the cost of another endpoint: a whole number from 0 to `maxPerEndpoint`. @default 0
   */
  readonly minPerEndpoint?: number | undefined
  /**
   * Borrowers that may share one connection, for protocols that multiplex or pipeline: a whole number of at least 1, or
   * `Infinity`. The caps count connections. @default 1
   */
  readonly concurrency?: number | undefined
  /** Bound on one attempt to open a connection; above 0. @default 10 seconds */
  readonly connectTimeout?: Duration.Input | undefined
  /** Bound on waiting, opening and checking together, for one borrow; above 0. @default 30 seconds */
  readonly acquireTimeout?: Duration.Input | undefined
  /** A connection that was idle for so long is closed; above 0, `"Infinity"` for never. @default 60 seconds */
  readonly idleTimeout?: Duration.Input | undefined
  /** A connection of this age is not leased again; above 0, `"Infinity"` for never. @default 5 minutes */
  readonly maxLifetime?: Duration.Input | undefined
  /**
   * The share by which a connection's lifetime may be shorter, drawn once when it is opened, so that connections that
   * were opened together do not end together; 0 to 1. @default 0.25
   */
  readonly lifetimeJitter?: number | undefined
  /** How long closing a connection gracefully may take; 0 or more. @default 2 seconds */
  readonly closeTimeout?: Duration.Input | undefined
  /**
   * How long a connect keeps its slot that goes on although it was given up, as one does that cannot be interrupted: its socket
   * may be open meanwhile. It is given up at `connectTimeout` and left behind half a second after another `closeTimeout`. The
   * slot is free as soon as it ends, and at the latest after this time, so that an endpoint that recovers is not lost; 0 or more,
   * `"Infinity"` for as long as it takes. @default 1 minute
   */
  readonly leftBehindTimeout?: Duration.Input | undefined
  /**
   * Most borrowers that wait for one endpoint until another one gives something back: a whole number of at least 0, or
   * `Infinity`. @default Infinity
   */
  readonly maxWaiters?: number | undefined
  /**
   * A connection that was idle longer than this is checked before it is leased, if the connector has a `check`; 0 or more.
   * @default 500 millis
   */
  readonly checkAfterIdle?: Duration.Input | undefined
  /**
   * How often an idle connection is checked, so that neither it nor the path to it falls asleep; above 0, `"Infinity"` for
   * never. It needs a connector with a `check`. One that is not reusable any more (`isReusable`) is closed instead.
   * @default "Infinity"
   */
  readonly keepalive?: Duration.Input | undefined
  /**
   * A lease that is held for longer is reported once, with where it was borrowed, and again when it comes back after all;
   * above 0, `"Infinity"` for never. It counts from when the borrower goes on with the connection. @default "Infinity"
   */
  readonly leakThreshold?: Duration.Input | undefined
  /**
   * A lease that is held for longer is ended: the effect of its `use` is interrupted and fails with `LeaseExpired`, and its
   * connection is closed; above 0, `"Infinity"` for never. It counts from when the borrower goes on with the
   * connection, so that neither its wait nor a check nor `beforeLend` counts.
   * @default "Infinity"
   */
  readonly maxLease?: Duration.Input | undefined
  /** What is done with a connection on its way from and to its borrowers. @default none */
  readonly hooks?: Hooks<A, E, R> | undefined
  /**
   * When and how often opening is tried again. The dialer steps the schedule of this policy by each failed attempt: the delay, the
   * attempts, the deadline, the budget and the breaker are those of `RetryPolicy.schedule`. One prober dials for all borrowers, so the
   * attempts count for all that wait. @default RetryPolicy.tcpConnection
   */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /**
   * The `maxDelay` of the policy that the dialer steps, where that of `retry` is longer: since one borrower dials for all, it may ask
   * more often than a crowd may. Delays that it cuts short have a jitter of at most 0.1, or `"full"` if `retry` says so. Above 0;
   * `"Infinity"` leaves `retry` alone to count. @default 1050 millis
   */
  readonly maxRedialDelay?: Duration.Input | undefined
  /**
   * What a borrow does that would have to wait for an endpoint whose `health` is `Unavailable`: it waits like any other, or it fails
   * at once with `EndpointUnavailable`. With `"fail"`, the first borrow after the next attempt is due makes that attempt and learns
   * its outcome; the others go on failing meanwhile. A connection that is idle is leased either way. @default "wait"
   */
  readonly whenUnavailable?: "wait" | "fail" | undefined
  /**
   * How long the end of the pool's scope waits for connections that are still leased before it closes them under their
   * borrowers; 0 or more. @default 5 seconds
   */
  readonly drainTimeout?: Duration.Input | undefined
}

/**
 * Where a borrow is said to come from:
 *
 * - a function: the place that called it, so that a helper that wraps a pool passes itself. It has to be on the stack when `use` or `get` is
 *   called.
 * - a `CallSite`: the place that was captured before by `callSite`.
 * - `"fiber"`: the innermost `Effect.withSpan` or `Effect.fn` of the fiber that borrows, and before one of a package in `node_modules`
 *   one of the program. It is for effects that are made once and run later, when no line of the program is on the stack.
 *
 * @category models
 * @since 0.1.0
 */
export type Site = CallSite | "fiber" | ((...args: never) => unknown)

/**
 * What may be said of one borrow.
 *
 * @category models
 * @since 0.1.0
 */
export interface BorrowOptions {
  /** Where the borrow is said to come from in errors, reports and `topSites`. @default the place that called */
  readonly site?: Site | undefined
  /**
   * The lease lasts as long as its holder lives, as that of a listener or of a client that pipelines. It counts against the caps, but is
   * neither reported as a leak nor ended by `maxLease`, and a borrow of the same fiber is not nested in it. Its holder waits
   * for `recalled`, and then gives the connection back. @default false
   */
  readonly standing?: boolean | undefined
}

/**
 * Why a connection has to come back:
 *
 * - `Draining`: the pool is drained, or its scope ends.
 * - `Expired`: the connection has reached its `maxLifetime`.
 * - `Died`: the connector has noticed its death.
 * - `Evicted`: it was evicted, invalidated, found broken by a borrower that shared it, or is over a cap that was lowered; or the pool does not have it.
 *
 * @category models
 * @since 0.1.0
 */
export type Recall = "Draining" | "Expired" | "Died" | "Evicted"

/** The options with every default filled in and every duration in milliseconds. */
export interface Settings {
  readonly name: string | undefined
  /** The caps may be changed while the pool runs. */
  maxPerEndpoint: number
  maxTotal: number
  readonly minPerEndpoint: number
  readonly concurrency: number
  readonly keepalive: number
  readonly leakThreshold: number
  readonly maxLease: number
  readonly connectTimeout: Duration.Duration
  readonly acquireTimeout: number
  readonly idleTimeout: number
  readonly maxLifetime: number
  readonly lifetimeJitter: number
  /** It may be shortened while the pool runs. */
  closeTimeout: Duration.Duration
  readonly leftBehindTimeout: Duration.Duration
  readonly maxWaiters: number
  readonly checkAfterIdle: number
  /** The policy that the dialer steps: when to dial again after a failure, and how often. */
  readonly retry: RetryPolicy.RetryPolicy
  readonly failsWhenUnavailable: boolean
  /** It may be shortened while the pool runs. */
  drainTimeout: number
}

const defaultTotal = 5

type Check = ReturnType<typeof checkOptions>

type Caps = Readonly<Pick<Settings, "maxPerEndpoint" | "maxTotal">>

/** The caps of a pool as they are given. */
export type GivenCaps = Pick<Options<never, never, never, never>, "maxConnections" | "maxPerEndpoint" | "maxTotal">

const caps = ["maxPerEndpoint", "maxTotal"] as const

const byDefault = {
  connectTimeout: "10 seconds",
  closeTimeout: "2 seconds",
  leftBehindTimeout: "1 minute",
  acquireTimeout: "30 seconds",
  idleTimeout: "60 seconds",
  maxLifetime: "5 minutes",
  checkAfterIdle: "500 millis",
  drainTimeout: "5 seconds",
  keepalive: Infinity,
  leakThreshold: Infinity,
  maxLease: Infinity,
  maxRedialDelay: "1050 millis"
} satisfies Record<string, Duration.Input>

const bound = { exclusive: true, infinite: false }
const bestBefore = { exclusive: true, infinite: true }

/** `maxConnections` is both caps. */
const withBoth = (check: Check, options: GivenCaps): GivenCaps => {
  const { maxConnections } = options
  if (maxConnections === undefined) return options
  check.whole("maxConnections", maxConnections, { min: 1 })
  for (const cap of caps) {
    const other = options[cap]
    const rule = `be left out where ${cap} is given, which is ${other}`
    check.require(other === undefined || other === maxConnections, "maxConnections", maxConnections, rule)
  }
  return { maxPerEndpoint: maxConnections, maxTotal: maxConnections }
}

/** Fills in the defaults of the caps; throws `InvalidOption` on an invalid value. */
export const capsOf = (check: Check, options: GivenCaps, defaults: Caps): Caps => {
  const given = options.maxPerEndpoint
  const maxPerEndpoint = check.whole("maxPerEndpoint", given ?? defaults.maxPerEndpoint, { min: 1 })
  const fallback = Math.max(defaults.maxTotal, maxPerEndpoint)
  const maxTotal = check.whole("maxTotal", options.maxTotal ?? fallback, { min: 1 })
  const rule = `be at most maxTotal, which is ${maxTotal}`
  check.require(given === undefined || given <= maxTotal, "maxPerEndpoint", given, rule)
  return { maxPerEndpoint: Math.min(maxPerEndpoint, maxTotal), maxTotal }
}

/** The caps of a running pool after a change; throws `InvalidOption` on an invalid value. */
export const resizedCaps = (given: GivenCaps, now: Caps): Caps => {
  const check = checkOptions("ConnectionPool.resize")
  const caps = withBoth(check, given)
  const maxTotal = check.whole("maxTotal", caps.maxTotal ?? now.maxTotal, { min: 1 })
  return capsOf(check, { maxPerEndpoint: caps.maxPerEndpoint, maxTotal }, now)
}

/** A name that forges no line of a log. */
const nameOf = (check: Check, name: string | undefined): string | undefined => {
  const isValid = name === undefined || /^[^\p{Cc}\p{Zl}\p{Zp}]{1,200}$/u.test(name)
  check.require(isValid, "name", name, "have 1 to 200 characters, none of them a control character")
  return name
}

const fractionOf = (check: Check, value: number): number => {
  check.require(value >= 0 && value <= 1, "lifetimeJitter", value, "be a number from 0 to 1")
  return value
}

const minimumOf = (check: Check, value: number, maxPerEndpoint: number): number => {
  const rule = `be at most maxPerEndpoint, which is ${maxPerEndpoint}`
  check.require(check.whole("minPerEndpoint", value, { min: 0 }) <= maxPerEndpoint, "minPerEndpoint", value, rule)
  return value
}

const failsWhenUnavailable = (check: Check, value: "wait" | "fail"): boolean => {
  check.require(value === "wait" || value === "fail", "whenUnavailable", value, "be \"wait\" or \"fail\"")
  return value === "fail"
}

/** A caller without types may give the options of a policy instead of a policy. */
const policyOf = (check: Check, value: RetryPolicy.RetryPolicy): RetryPolicy.RetryPolicy => {
  check.require(
    hasProperty(value, RetryPolicy.TypeId),
    "retry",
    value,
    "be a policy, such as RetryPolicy.make(options)"
  )
  return value
}

/** The widest spread of delays that are cut short at `maxRedialDelay`, as the jitter of a policy. */
const narrow = 0.1

/**
 * The policy that the dialer steps: `maxRedialDelay` is its `maxDelay`. Where that cuts the delays short, they are spread over the
 * upper fifth of it at most, unless the policy asks for full jitter: a wider spread makes more attempts for the same longest
 * delay, which is what decides when the last of a fleet is back. Opening may be repeated whatever is known of the last attempt,
 * since what that had acquired is closed by then.
 */
const redialPolicy = (policy: RetryPolicy.RetryPolicy, maxRedialDelay: number): RetryPolicy.RetryPolicy => {
  const { initialDelay, jitter, maxDelay } = policy
  const dialing = { ...policy, idempotent: true, stableAfter: Infinity }
  if (maxRedialDelay >= Duration.toMillis(maxDelay)) return RetryPolicy.make(dialing)
  return RetryPolicy.make({
    ...dialing,
    initialDelay: Math.min(Duration.toMillis(initialDelay), maxRedialDelay),
    maxDelay: maxRedialDelay,
    jitter: jitter === "full" ? jitter : Math.min(jitter, narrow)
  })
}

/** The options that settings come from. */
export type GivenOptions = Omit<Options<never, never, never, never>, "connector" | "hooks" | "endpoint"> & {
  readonly connector: { readonly check?: unknown }
}

/** Fills in the defaults; throws `InvalidOption` on an invalid value. */
export const settingsOf = (options: GivenOptions): Settings => {
  const check = checkOptions("ConnectionPool")
  const duration = (
    option: keyof typeof byDefault,
    range: { readonly exclusive: boolean; readonly infinite: boolean }
  ) => check.duration(option, options[option] ?? byDefault[option], { min: 0, ...range })
  const millis = (...args: Parameters<typeof duration>) => Duration.toMillis(duration(...args))
  const caps = capsOf(check, withBoth(check, options), { maxPerEndpoint: 2, maxTotal: defaultTotal })
  const keepalive = millis("keepalive", bestBefore)
  const needsCheck = "be \"Infinity\", because the connector has no check"
  const canCheck = keepalive === Infinity || options.connector.check !== undefined
  check.require(canCheck, "keepalive", options.keepalive, needsCheck)
  return {
    name: nameOf(check, options.name),
    ...caps,
    minPerEndpoint: minimumOf(check, options.minPerEndpoint ?? 0, caps.maxPerEndpoint),
    concurrency: check.whole("concurrency", options.concurrency ?? 1, { min: 1, infinite: true }),
    connectTimeout: duration("connectTimeout", bound),
    acquireTimeout: millis("acquireTimeout", bound),
    idleTimeout: millis("idleTimeout", bestBefore),
    maxLifetime: millis("maxLifetime", bestBefore),
    lifetimeJitter: fractionOf(check, options.lifetimeJitter ?? 0.25),
    closeTimeout: duration("closeTimeout", { exclusive: false, infinite: false }),
    leftBehindTimeout: duration("leftBehindTimeout", { exclusive: false, infinite: true }),
    maxWaiters: check.whole("maxWaiters", options.maxWaiters ?? Infinity, { min: 0, infinite: true }),
    checkAfterIdle: millis("checkAfterIdle", { exclusive: false, infinite: true }),
    keepalive,
    leakThreshold: millis("leakThreshold", bestBefore),
    maxLease: millis("maxLease", bestBefore),
    retry: redialPolicy(
      policyOf(check, options.retry ?? RetryPolicy.tcpConnection),
      millis("maxRedialDelay", bestBefore)
    ),
    failsWhenUnavailable: failsWhenUnavailable(check, options.whenUnavailable ?? "wait"),
    drainTimeout: millis("drainTimeout", { exclusive: false, infinite: false })
  }
}

/**
 * The defaults: 2 connections for each endpoint, 5 in all, connecting within 10 s, idle for 60 s, alive for 5 minutes.
 *
 * @category presets
 * @since 0.1.0
 */
export const defaults = {
  maxPerEndpoint: 2,
  maxTotal: 5,
  connectTimeout: "10 seconds",
  idleTimeout: "60 seconds",
  maxLifetime: "5 minutes"
} as const

/**
 * For long-lived backends under load: 20 connections for each endpoint, 200 in all, connecting within 5 s, idle for 10
 * minutes, alive for 2 hours.
 *
 * @category presets
 * @since 0.1.0
 */
export const highThroughput = {
  maxPerEndpoint: 20,
  maxTotal: 200,
  connectTimeout: "5 seconds",
  idleTimeout: "10 minutes",
  maxLifetime: "2 hours"
} as const

/**
 * For callers that would rather fail soon: 5 connections for each endpoint, 50 in all, connecting within 2 s, idle for 2
 * minutes, alive for 30 minutes.
 *
 * @category presets
 * @since 0.1.0
 */
export const lowLatency = {
  maxPerEndpoint: 5,
  maxTotal: 50,
  connectTimeout: "2 seconds",
  idleTimeout: "2 minutes",
  maxLifetime: "30 minutes"
} as const

/**
 * For functions, which many instances run at once and whose platform may stop them between two requests: one connection for
 * each instance, none that is kept, connecting within 2 s, idle for 30 s, alive for 5 minutes. Borrowing takes at most 5 s,
 * the end of the pool waits 100 ms for borrowers, and closing a connection takes at most 200 ms, so that all is closed
 * before the platform ends the process.
 *
 * **Details**
 *
 * A stopped instance closes nothing. So the server has to end what was idle for longer than `idleTimeout`, by a limit of
 * its own that is a little above it: the pool then knows before it leases a connection that the server has ended it.
 *
 * @category presets
 * @since 0.1.0
 */
export const serverless = {
  maxPerEndpoint: 1,
  maxTotal: 1,
  minPerEndpoint: 0,
  acquireTimeout: "5 seconds",
  connectTimeout: "2 seconds",
  idleTimeout: "30 seconds",
  maxLifetime: "5 minutes",
  closeTimeout: "200 millis",
  drainTimeout: "100 millis"
} as const
