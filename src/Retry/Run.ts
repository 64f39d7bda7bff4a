/**
 * One run of a policy: what it needs to know, and what it decides after a failure.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { millisOf, monotonicMillis } from "../internal/MonotonicTime.ts"
import type { ReserveRequest } from "../Monitor/Service.ts"
import { ResourceMonitor } from "../Monitor/Service.ts"
import { session } from "./Backoff.ts"
import type { BreakerCircuit } from "./BreakerCircuit.ts"
import type { Bucket, Withdrawal } from "./Bucket.ts"
import * as Decision from "./Decision.ts"
import type { Failure } from "./Failure.ts"
import * as Failures from "./Failure.ts"
import { History } from "./History.ts"
import type { RetryPolicy } from "./Policy.ts"
import { TypeId } from "./Policy.ts"
import { RetryError } from "./RetryError.ts"
import type { RetryObserver } from "./RetryObserver.ts"
import { bucketOf, circuitOf, type Step, stepAfter } from "./RetryStep.ts"

/**
 * Whether this code runs inside an attempt of {@link retry}. There a `retry` makes one attempt only, so that nested
 * policies do not multiply: 3 attempts of 3 attempts stay 3.
 *
 * **Details**
 *
 * The inner `retry` still asks the gate and its breaker, and keeps its deadline; its budget is left alone. It fails with a
 * `RetryError` whose `cause` is the failure, and the outer one decides by that failure.
 *
 * **Gotchas**
 *
 * - Both claim room at the gate, so that a host with room for one opening has none for the inner one. A policy around
 *   something that retries by itself opens nothing itself: give it `descriptors: 0`.
 * - Fibers that are forked in an attempt inherit it. A background loop that outlives the attempt and has to retry by itself
 *   opts out: `Effect.provideService(loop, RetryPolicy.InsideRetry, false)`.
 *
 * @category references
 * @since 0.1.0
 */
export const InsideRetry: Context.Reference<boolean> = Context.Reference("effect-sluice/Retry/InsideRetry", {
  defaultValue: () => false
})

/** A circuit that has admitted the attempt that is running, and those around it. */
export interface Passed {
  readonly circuit: BreakerCircuit
  readonly outer: Passed | undefined
}

/**
 * The circuits that have admitted the attempts that this code runs in. An inner retry with the same breaker and label does not
 * ask again: the outer attempt may be the probe, and would be in its own way.
 */
export const PassedCircuits: Context.Reference<Passed | undefined> = Context.Reference<Passed | undefined>(
  "effect-sluice/Retry/PassedCircuits",
  { defaultValue: () => undefined }
)

const isPassed = (circuit: BreakerCircuit, passed: Passed | undefined): boolean =>
  passed !== undefined && (passed.circuit === circuit || isPassed(circuit, passed.outer))

/** The options of a run besides its policy. */
export interface Options {
  readonly label?: string | undefined
  readonly previousAttempts?: number | undefined
  /**
   * Closes what a failed attempt has left, where it does not go into the caller's scope: when the failure has been looked
   * into, and before another attempt follows.
   */
  readonly release?: (() => Effect.Effect<void>) | undefined
  /** Whether the effect opens a connection, so that nothing was asked of the other side when it fails. */
  readonly dial?: boolean | undefined
}

/** A custom `classify` is asked about what an inner retry wraps as well, since that is the failure itself. */
export const classify = (policy: RetryPolicy, error: unknown, options: Failures.ClassifyOptions): Failure => {
  let current = error
  while (true) {
    const own = policy.classify?.(current)
    if (own !== undefined) return own
    if (!(current instanceof RetryError)) break
    const { reason } = current
    if (reason._tag === "CircuitOpen") {
      return Failures.make("RemoteSaturated", { code: Decision.circuitOpenCode, retryAfter: reason.retryAfter })
    }
    current = reason.cause
  }
  return Failures.classify(error, options)
}

const asLocal = ({ code }: Failure): Failure => Failures.make("LocalExhausted", { code })

/** The class of every refusal of the gate. */
const noRoom: Failure = Failures.make("LocalExhausted", { code: "ResourceExhausted" })

type LocalDecision = ReturnType<typeof Decision.decideLocal>

/** What a run needs only when something goes wrong, or when its policy says so, is found out then. */
export class Run {
  readonly policy: RetryPolicy
  readonly label: string
  readonly previousAttempts: number
  readonly release: Options["release"]
  readonly dial: Options["dial"]
  readonly context: Context.Context<never>
  readonly clock: Clock.Clock
  readonly monitor: ResourceMonitor["Service"]
  /** Whether the successes and failures of this run count in its budget. Inside another retry that one counts. */
  readonly bucket: Bucket | undefined
  /** The circuit to ask, unless an outer attempt has passed it. */
  readonly circuit: BreakerCircuit | undefined
  /** By the monotonic clock, in nanoseconds. */
  readonly startedAt: bigint
  progress = Decision.started
  /** The token of the retry that comes next. */
  withdrawal: Withdrawal | undefined
  #history: History | undefined
  #random: (() => number) | undefined

  /** Begins now. */
  constructor(context: Context.Context<never>, policy: RetryPolicy, options: Options) {
    this.policy = policy
    this.label = options.label ?? "effect"
    this.previousAttempts = options.previousAttempts ?? 0
    this.release = options.release
    this.dial = options.dial
    this.context = context
    this.clock = Context.get(context, Clock.Clock)
    // The type of whatever makes a run requires the monitor.
    this.monitor = Context.getUnsafe(context, ResourceMonitor)
    this.startedAt = this.clock.monotonicTimeNanosUnsafe()
    this.bucket = policy.budget === undefined || this.nested ? undefined : bucketOf(policy, this.label)
    this.circuit = policy.breaker === undefined ? undefined : this.#circuitOf()
  }

  get observer(): RetryObserver | undefined {
    return this.policy.observer
  }

  get rules(): Decision.Rules {
    return this.policy[TypeId]
  }

  /** Whether an outer retry decides instead. */
  get nested(): boolean {
    return Context.get(this.context, InsideRetry)
  }

  /** Milliseconds of the monotonic clock. */
  now(): number {
    return monotonicMillis(this.clock)
  }

  /** Milliseconds from the start until then. */
  since(nanos: bigint): number {
    return Number(nanos - this.startedAt) / 1e6
  }

  /** Milliseconds since the start. */
  elapsed(): number {
    return this.since(this.clock.monotonicTimeNanosUnsafe())
  }

  /** The random numbers of this run are its own, whatever others draw meanwhile. */
  random(): number {
    this.#random ??= session(() => Context.get(this.context, Random.Random).nextDoubleUnsafe())
    return this.#random()
  }

  get scope(): Scope.Scope | undefined {
    return Context.getOrUndefined(this.context, Scope.Scope)
  }

  get history(): History {
    return this.#history ??= new History()
  }

  /** What the next attempt asks of the gate. */
  get request(): ReserveRequest {
    const { label, policy, previousAttempts, progress } = this
    return { label, descriptors: policy.descriptors, attempt: previousAttempts + progress.runs }
  }

  /** The same, so long after the start of the run, and it waits for room there for as long as the run may. */
  patientRequest(elapsed: number): ReserveRequest {
    const patience = this.nested ? 0 : Decision.localPatience(this.rules, this.progress, elapsed)
    return { ...this.request, maxWait: Duration.millis(patience) }
  }

  /**
   * What a failure asks for, told where it happened. One that may pass is put down to this host if no descriptor is free:
   * then the look-up of a name fails as if there were no such name, and nothing was sent. So is one that nobody knows, where
   * the effect may be done twice. Where the other side has spoken, it is believed.
   */
  diagnose(error: unknown): Effect.Effect<Failure> {
    const failure = this.#classify(error)
    if (!this.#mayBeLocal(failure)) return Effect.succeed(failure)
    return Effect.map(
      this.monitor.shortage({ label: this.label, cause: error }),
      (shortage) => shortage === undefined ? failure : asLocal(failure)
    )
  }

  /** The same in one step, of a monitor that can be asked so. */
  diagnoseNow(error: unknown): Failure {
    const failure = this.#classify(error)
    return this.#mayBeLocal(failure) && this.monitor.reserve.unsafe?.isShort() === true ? asLocal(failure) : failure
  }

  #classify(error: unknown): Failure {
    return classify(this.policy, error, { now: this.clock.currentTimeMillisUnsafe(), dial: this.dial })
  }

  #mayBeLocal(failure: Failure): boolean {
    return failure.class === "Transient" ||
      failure.class === "Fatal" && failure.code === undefined && this.rules.idempotent
  }

  /** Counts a refusal of the gate, which was asked at this time of the run, and decides what follows. */
  afterRefusal(asked: number): { readonly situation: Decision.Situation; readonly decision: LocalDecision } {
    const { nested, rules } = this
    const progress = this.progress = Decision.refused(this.progress, asked)
    const elapsed = this.elapsed()
    const typical = this.#history?.typical ?? 0
    const situation = { rules, progress, failure: noRoom, elapsed, typical, nested, u: this.random() }
    return { situation, decision: Decision.decideLocal(situation) }
  }

  /** Counts a failure of the effect, which had run for so many milliseconds, and decides what follows. */
  afterFailure(failure: Failure, lived: number): Step {
    const elapsed = this.elapsed()
    const typical = this.#history?.typical ?? 0
    const step = stepAfter(this, this.progress, {
      failure,
      lived,
      elapsed,
      typical,
      now: this.now(),
      u: this.random()
    })
    this.progress = step.situation.progress
    this.withdrawal = step.withdrawal
    return step
  }

  /** The attempt whose token was taken has begun. */
  spend(): void {
    this.withdrawal?.spend()
    this.withdrawal = undefined
  }

  /** The attempt whose token was taken will not be made. */
  refund(): void {
    this.withdrawal?.refund()
    this.withdrawal = undefined
  }

  #circuitOf(): BreakerCircuit | undefined {
    const circuit = circuitOf(this.policy, this.label, millisOf(this.startedAt))
    return circuit === undefined || isPassed(circuit, Context.get(this.context, PassedCircuits)) ? undefined : circuit
  }
}
