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
import { safeLabel } from "../internal/SafeText.ts"
import type { Connector } from "../Resource/Connector.ts"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"

/**
 * Effects that a pool runs with its connections. If a hook fails, or takes longer than `connectTimeout`, the connection is closed
 * and no borrower gets it. A failure of `beforeLend` or `afterReturn` is logged at `References.UnhandledLogLevel`, at most once a
 * minute for each endpoint. A hook must not borrow from its own pool, because it may wait for the slot of its own connection.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Hooks<in A, out E = never, out R = never> {
  /** Runs after the connection was opened, as the last step of opening. If it fails, opening has failed. */
  readonly afterOpen?: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  /**
   * Runs each time before the connection is used by a borrower, within the deadline of the borrow. If it fails on a new connection,
   * opening has failed. A connection is new here if borrowers waited for its dial, or in its first second until this hook succeeds.
   */
  readonly beforeLend?: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  /** Runs each time when the last borrower has returned the connection, before another borrower gets it. */
  readonly afterReturn?: ((connection: A) => Effect.Effect<void, E, R>) | undefined
}

/**
 * How a pool opens, keeps, leases and closes connections. Everything but the connector has a default.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options<K, A, E, R> {
  /** Opens connections, and reports when they die. */
  readonly connector: Connector<K, A, E, R>
  /**
   * The name of the pool in metrics, spans, log lines and errors: 1 to 200 characters, none of them a control character. If another
   * live pool of the process has the name already, it ends with `-2`, `-3` and so on. Errors and the texts of log lines have only
   * names that were given.
   * @default pool, or the key of its `Service`, or `host:port` of its only `endpoint`
   */
  readonly name?: string | undefined
  /** The only endpoint of a `Service`. The members of such a service take no key. @default none */
  readonly endpoint?: NoInfer<K> | undefined
  /**
   * Most connections of a pool with one endpoint, instead of `maxPerEndpoint` and `maxTotal`: a whole number of at least 1. If one
   * of these is given too, it must be equal. @default none
   */
  readonly maxConnections?: number | undefined
  /** Most connections to one endpoint, in any state: a whole number of at least 1. @default 2 */
  readonly maxPerEndpoint?: number | undefined
  /** Most connections in all, at least `maxPerEndpoint`. @default 5, or `maxPerEndpoint` if that is more */
  readonly maxTotal?: number | undefined
  /**
   * The number of connections that are kept for each endpoint that was used, for any idle time: a whole number from 0 to
   * `maxPerEndpoint`. They are opened in the background, and no connection of another endpoint is closed for them. @default 0
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
  /** A connection that was idle for this time is closed; above 0, `"Infinity"` for never. @default 60 seconds */
  readonly idleTimeout?: Duration.Input | undefined
  /** A connection of this age is not leased again; above 0, `"Infinity"` for never. @default 5 minutes */
  readonly maxLifetime?: Duration.Input | undefined
  /**
   * The largest fraction by which the lifetime of a connection is shortened; 0 to 1. The fraction is drawn at random for each
   * connection, so that connections that were opened together do not end together. @default 0.25
   */
  readonly lifetimeJitter?: number | undefined
  /** How long closing a connection gracefully may take; 0 or more. @default 2 seconds */
  readonly closeTimeout?: Duration.Input | undefined
  /**
   * How long a connect that was left behind keeps its slot. A connect is interrupted at `connectTimeout`. If it cannot be
   * interrupted, it is left behind after another `closeTimeout` and half a second, and may still open a socket. Its slot is free
   * when the connect ends, or after this time, so that an endpoint that recovers can be dialed again; 0 or more, `"Infinity"` for
   * no limit. @default 1 minute
   */
  readonly leftBehindTimeout?: Duration.Input | undefined
  /**
   * Most borrowers that wait for one endpoint until another borrower returns a connection: a whole number of at least 0, or
   * `Infinity`.
   * @default Infinity
   */
  readonly maxWaiters?: number | undefined
  /**
   * A connection that was idle longer than this is checked before it is leased, if the connector has a `check`; 0 or more.
   * @default 500 millis
   */
  readonly checkAfterIdle?: Duration.Input | undefined
  /**
   * The interval at which an idle connection is checked, so that neither its server nor a NAT or firewall on its path drops it;
   * above 0, `"Infinity"` for never. It needs a connector with a `check`. A connection for which `isReusable` is `false` is closed
   * instead.
   * @default "Infinity"
   */
  readonly keepalive?: Duration.Input | undefined
  /**
   * A lease that is held for longer than this is reported with the place that began the borrow, and once more when it ends; above
   * 0, `"Infinity"` for never. The time begins when the borrower begins to use the connection. @default "Infinity"
   */
  readonly leakThreshold?: Duration.Input | undefined
  /**
   * A lease that is held for longer than this is ended: the effect of its `use` is interrupted and fails with `LeaseExpired`, and
   * the connection is closed; above 0, `"Infinity"` for never. The time begins when the borrower begins to use the connection,
   * after its wait, the check and `beforeLend`.
   * @default "Infinity"
   */
  readonly maxLease?: Duration.Input | undefined
  /** Effects that the pool runs with its connections. @default none */
  readonly hooks?: Hooks<A, E, R> | undefined
  /**
   * When and how often opening is tried again. Each failed attempt is one step of `RetryPolicy.schedule`: the delay, the attempts,
   * the deadline, the budget and the breaker are those of the policy. One dial at a time is made for all borrowers of an endpoint
   * that is down, so its attempts count for all of them. @default RetryPolicy.tcpConnection
   */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /**
   * The longest delay between two dials, if the `maxDelay` of `retry` is longer. It may be short, because one dial at a time is
   * made for all borrowers. Delays that it shortens have a jitter of at most 0.1, or `"full"` if `retry` has that. Above 0; with
   * `"Infinity"` the `maxDelay` of `retry` counts. @default 1050 millis
   */
  readonly maxRedialDelay?: Duration.Input | undefined
  /**
   * Whether a borrow waits for an endpoint whose `health` is `Unavailable`, or fails at once with `EndpointUnavailable`. With
   * `"fail"`, one borrow makes the next attempt when that is due, and gets its outcome. Until then and meanwhile, the other borrows
   * fail. An idle connection is leased with both values. @default "wait"
   */
  readonly whenUnavailable?: "wait" | "fail" | undefined
  /**
   * How long the end of the pool's scope waits for leased connections. After this time it closes them although they are leased; 0
   * or more.
   * @default 5 seconds
   */
  readonly drainTimeout?: Duration.Input | undefined
}

/**
 * The place in the program that is reported for a borrow:
 *
 * - a function: the place that called this function. A helper that wraps a pool passes itself, and has to be on the stack when it calls
 *   `use` or `get`.
 * - a `CallSite`: a place that `callSite` has captured before.
 * - `"fiber"`: the innermost `Effect.withSpan` or `Effect.fn` of the borrower's fiber. One of the program is preferred to one of a package
 *   in `node_modules`. It is for effects that are made once and run later, when no line of the program is on the stack.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Site = CallSite | "fiber" | ((...args: never) => unknown)

/**
 * The options of one borrow.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface BorrowOptions {
  /** The place in the program for errors, reports and `topSites`. @default the caller of `use` or `get` */
  readonly site?: Site | undefined
  /**
   * Whether the lease lasts as long as its holder, such as a listener or a client that pipelines. Such a lease counts against the
   * caps. It is neither reported as a leak nor ended by `maxLease`, and a borrow of the same fiber does not count as nested. The
   * holder has to wait for `recalled` and then give the connection back. @default false
   */
  readonly standing?: boolean | undefined
}

/**
 * Why a connection has to be given back:
 *
 * - `Draining`: the pool is drained, or its scope ends.
 * - `Expired`: the connection has reached its `maxLifetime`.
 * - `Died`: the connector has noticed its death.
 * - `Evicted`: the connection was evicted, invalidated, or found broken by another borrower. Or it is over a cap that was lowered, or is no
 *   connection of the pool.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Recall = "Draining" | "Expired" | "Died" | "Evicted"

/** The options with every default filled in and every duration in milliseconds. */
export interface Settings {
  readonly name: string
  /** Whether the program has given the name, by the option or by the key of a `Service`. */
  readonly isNamed: boolean
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
  /** The policy that decides when, and how often, an endpoint is dialed again after a failure. */
  readonly retry: RetryPolicy.RetryPolicy
  readonly failsWhenUnavailable: boolean
  /** It may be shortened while the pool runs. */
  drainTimeout: number
}

const defaultTotal = 5

type Check = ReturnType<typeof checkOptions>

type Caps = Readonly<Pick<Settings, "maxPerEndpoint" | "maxTotal">>

/** The options that set the caps. */
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

/** Replaces `maxConnections` by both caps. */
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

/** The most endpoints and holders that an inspection shows; throws `InvalidOption` on an invalid value. */
export const mostOf = (most = 20): number => checkOptions("ConnectionPool.inspect").whole("most", most, { min: 0 })

/** Checks a name: line breaks in it could forge lines of a log. */
const nameOf = (check: Check, name: string | undefined): Pick<Settings, "name" | "isNamed"> => {
  const isValid = name === undefined || /^[^\p{Cc}\p{Zl}\p{Zp}]{1,200}$/u.test(name)
  check.require(isValid, "name", name, "have 1 to 200 characters, none of them a control character")
  // Masked here, so that it is the same text in the paths of an operator, in metrics, in logs and in errors.
  return { name: safeLabel(name ?? "pool"), isNamed: name !== undefined }
}

/** How the texts of log lines name a pool. */
export const titleOf = ({ isNamed, name }: Pick<Settings, "name" | "isNamed">): string =>
  isNamed ? `ConnectionPool ${name}` : "ConnectionPool"

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

/** The largest jitter of delays that `maxRedialDelay` shortens. */
const narrow = 0.1

/**
 * The policy for dials: `retry` with `maxRedialDelay` as its `maxDelay`, if that is shorter. In that case the jitter is narrow,
 * unless it is `"full"`: the longest delay decides when the last process of a fleet is back, and a wider jitter makes more attempts
 * for the same longest delay. Dials are idempotent, because the connection of a failed attempt is closed before the next.
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
    ...nameOf(check, options.name),
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
 * @stability stable
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
 * @stability stable
 */
export const highThroughput = {
  maxPerEndpoint: 20,
  maxTotal: 200,
  connectTimeout: "5 seconds",
  idleTimeout: "10 minutes",
  maxLifetime: "2 hours"
} as const

/**
 * For callers that prefer an early failure to a long wait: 5 connections for each endpoint, 50 in all, connecting within 2 s, idle
 * for 2 minutes, alive for 30 minutes.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
 */
export const lowLatency = {
  maxPerEndpoint: 5,
  maxTotal: 50,
  connectTimeout: "2 seconds",
  idleTimeout: "2 minutes",
  maxLifetime: "30 minutes"
} as const

/**
 * For functions that run in many instances at once, and whose platform may stop an instance between two requests: one connection
 * for each instance, no minimum, connecting within 5 s, idle for 30 s, alive for 5 minutes. A borrow takes at most 10 s. The end of
 * the pool waits 100 ms for borrowers, and closing a connection takes at most 200 ms, so that all connections are closed before the
 * platform ends the process.
 *
 * **Details**
 *
 * A stopped instance closes nothing. So the server has to end connections that were idle for a little longer than `idleTimeout`, by
 * a limit of its own. The pool notices before it leases a connection that the server has ended it.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
 */
export const serverless = {
  maxPerEndpoint: 1,
  maxTotal: 1,
  minPerEndpoint: 0,
  acquireTimeout: "10 seconds",
  connectTimeout: "5 seconds",
  idleTimeout: "30 seconds",
  maxLifetime: "5 minutes",
  closeTimeout: "200 millis",
  drainTimeout: "100 millis"
} as const
