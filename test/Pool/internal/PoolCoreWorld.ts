/**
 * A `PoolCore` with a world of its own: no fiber runs, no time passes, and no command ends unless an event says so. The commands pass
 * through the `CommandRunner` of a real pool.
 */
import { type Clock, Context, Duration, Effect, Exit, type Fiber, Scope } from "effect"
import { AgeClock } from "../../../src/internal/AgeClock.ts"
import { loopTurns } from "../../../src/internal/LoopTurns.ts"
import { noneClosed } from "../../../src/Pool/CloseReason.ts"
import { CommandRunner } from "../../../src/Pool/internal/Driver.ts"
import { EndpointPool } from "../../../src/Pool/internal/EndpointPool.ts"
import { PoolCore } from "../../../src/Pool/internal/PoolCore.ts"
import {
  type CloseEvents,
  Lease,
  Outbox,
  type PendingDial,
  type PoolEndpoint
} from "../../../src/Pool/internal/PoolState.ts"
import type { PoolError } from "../../../src/Pool/PoolError.ts"
import { type Options, type Settings, settingsOf } from "../../../src/Pool/PoolOptions.ts"
import * as Failure from "../../../src/Retry/Failure.ts"
import { AttemptFailed } from "../../../src/Retry/internal/Decision.ts"
import * as RetryPolicy from "../../../src/Retry/RetryPolicy.ts"
import { seeded } from "../../support/random.ts"
import * as PlainPool from "./PlainPool.ts"

export const keys = ["a", "b"]
const borrowerCount = 3

/** What a world consists of, apart from its pool. */
export interface Rules {
  readonly options: Partial<Options<string, number, never, never>>
  /** A dial waits at the gate until an event lets it in. Otherwise it begins at once. */
  readonly hasGate: boolean
  /** Borrowers that are served go on when an event says so. Otherwise they go on at the end of the step. */
  readonly pauses: boolean
  /** Connections are noticed to die, and borrowers wait for the turns of the event loop. */
  readonly deaths: boolean
  /** Idle connections are checked, by a borrower or the pool. */
  readonly checks: boolean
  /** Connects and finalizers are left behind, and a finalizer that is closed late frees its slot again. */
  readonly leavesBehind: boolean
  /** The pool is suspended, resumed, resized and drained, and its connections are evicted. */
  readonly operator: boolean
  /** The seed of the random numbers that the core draws. Without one they are all the same. */
  readonly seed?: number
  /** The items of endpoints are those of Effect's Pools, and not of plain ones. */
  readonly withEffect?: boolean
  /** What the core is given in the place of these options: a fault that is planted in it. */
  readonly planted?: Partial<Options<string, number, never, never>>
}

/** Borrowers and dials alone. */
export const plain: Rules = {
  options: { maxPerEndpoint: 2, maxTotal: 2 },
  hasGate: false,
  pauses: false,
  deaths: false,
  checks: false,
  leavesBehind: false,
  operator: false
}

export const endings = ["Success", "Failure", "Interruption"] as const

export type Event =
  | { readonly do: "ask"; readonly key: string }
  | { readonly do: "end"; readonly borrower: number; readonly how: typeof endings[number] }
  | { readonly do: "begin dial" | "open" | "fail" | "end dial" | "leave dial" | "end left dial"; readonly dial: number }
  | { readonly do: "close" | "leave close" | "die" | "pass check" | "fail check"; readonly connection: number }
  | { readonly do: "evict"; readonly key: string }
  | { readonly do: "resize"; readonly maxPerEndpoint: number; readonly maxTotal: number }
  | {
    readonly do: "suspend" | "refuse" | "resume" | "pass time" | "turn loop" | "go on" | "drain" | "force"
  }

export const format = ({ do: what, ...rest }: Event): string => [what, ...Object.values(rest)].join(" ")

/** As much of a fiber as the core asks of the ones that its driver has started. */
class FakeFiber {
  readonly id: number
  readonly context = Context.empty()
  isInterrupted = false
  readonly #observers: Array<(exit: Exit.Exit<never>) => void> = []
  #exit: Exit.Exit<never> | undefined
  readonly #onInterrupt: () => void

  constructor(id = 0, onInterrupt: () => void = () => {}) {
    this.id = id
    this.#onInterrupt = onInterrupt
  }

  addObserver(observer: (exit: Exit.Exit<never>) => void): () => void {
    this.#observers.push(observer)
    return () => {}
  }

  interruptUnsafe(): void {
    this.isInterrupted = true
    this.#onInterrupt()
  }

  pollUnsafe(): Exit.Exit<never> | undefined {
    return this.#exit
  }

  end(exit: Exit.Exit<unknown>): void {
    // Nothing else of a fiber is asked for.
    this.#exit = exit as Exit.Exit<never>
    for (const observer of this.#observers.splice(0)) observer(this.#exit)
  }

  /** The same for the core, which asks for nothing else. */
  get fiber(): Fiber.Fiber<never> {
    return this as unknown as Fiber.Fiber<never>
  }
}

export interface Borrower {
  readonly number: number
  lease: Lease<string, number> | undefined
  /** Asks whether its connection works. */
  isChecking: boolean
  /** How its last borrow ended. */
  outcome: "None" | "Served" | PoolError
}

interface Dial {
  readonly number: number
  readonly pending: PendingDial<string, number>
  readonly fiber: FakeFiber
  state: "At gate" | "Dialing" | "Left behind"
  /** Says that a connect that was left behind has ended. */
  ended: () => void
}

export interface Connection {
  readonly number: number
  readonly key: string
  readonly scope: Scope.Closeable
  readonly watcher: FakeFiber
  probe: FakeFiber | undefined
  state: "Open" | "Closing" | "Left behind"
  closable: CloseEvents | undefined
  ended: () => void
}

const retry = RetryPolicy.make({ maxAttempts: 2, initialDelay: 20, maxDelay: 40 })

const settingsByRules = new WeakMap<Rules, Settings>()

const settingsFor = (rules: Rules): Settings => {
  const known = settingsByRules.get(rules)
  if (known !== undefined) return known
  const settings = settingsOf({
    connector: { open: () => Effect.never, check: () => Effect.void },
    acquireTimeout: 1000,
    idleTimeout: 5000,
    maxRedialDelay: 40,
    retry,
    ...rules.options,
    ...rules.planted
  })
  settingsByRules.set(rules, settings)
  return settings
}

const capsIn = ({ maxPerEndpoint, maxTotal }: Rules["options"]) => ({
  ...maxPerEndpoint === undefined ? {} : { maxPerEndpoint },
  ...maxTotal === undefined ? {} : { maxTotal }
})

export class World {
  readonly rules: Rules
  readonly settings: Settings
  /** What is asked of the core. */
  caps: { readonly maxPerEndpoint: number; readonly maxTotal: number }
  readonly core: PoolCore<string, number>
  readonly borrowers: ReadonlyArray<Borrower>
  /** Those that are not over. */
  readonly dials = new Map<number, Dial>()
  /** Those that are not closed, by the number of their dial. */
  readonly connections = new Map<number, Connection>()
  readonly timers = new Set<{ readonly due: number; readonly ring: Effect.Effect<unknown> }>()
  now = 0
  suspended: "No" | "Waiting" | "Refusing" = "No"
  isDraining = false
  /** How often the core has said that everything is closed. */
  emptied = 0
  /** How many connections the core has said to be closing, by the reason. */
  readonly closedBy = noneClosed()
  /** How many borrows the core has said to have failed, and how many borrowers have got an error. */
  told = 0
  refused = 0
  /** How many connections it has asked to be closed. */
  closes = 0
  /** What must not have happened. */
  readonly faults: Array<string> = []
  readonly #microtasks: Array<() => void> = []
  readonly #turns: Array<() => void> = []
  #slept = 0
  #dialed = 0

  constructor(rules: Rules) {
    this.rules = rules
    this.borrowers = Array.from({ length: borrowerCount }, (_, number) => ({
      ...{ number, lease: undefined, isChecking: false, outcome: "None" }
    }))
    this.settings = { ...settingsFor(rules) }
    const { maxPerEndpoint, maxTotal } = this.settings
    this.caps = { maxPerEndpoint, maxTotal, ...capsIn(rules.options) }
    const clock = new AgeClock(this.#clock)
    const runner = this.#runner()
    const outbox = new Outbox<string, number>(
      (command) => runner.run(command, this.core),
      (defect) => void this.faults.push(`a command has died: ${String(defect)}`)
    )
    this.core = new PoolCore<string, number>({
      settings: this.settings,
      clock,
      random: rules.seed === undefined ? () => 0.5 : seeded(rules.seed),
      outOfReach: () => undefined,
      fork: (effect) => this.#startTimer(effect),
      nextTurn: (act) => void this.#turns.push(act),
      later: (act) => act(),
      makePool: (options) => rules.withEffect === true ? new EndpointPool(options) : PlainPool.make(options),
      outbox,
      noticesDeath: rules.deaths,
      isReusable: undefined,
      hasCheck: rules.checks,
      makesReady: false,
      hasReset: false,
      obstacle: () => undefined
    })
    this.core.observers.add({ closed: (reason) => void this.closedBy[reason]++, refused: () => void this.told++ })
  }

  get endpoints(): ReadonlyArray<PoolEndpoint<string, number>> {
    return this.core.endpoints
  }

  /** Whether a borrower that was served has yet to go on. */
  get hasPaused(): boolean {
    return this.#microtasks.length > 0
  }

  get waitsForTurn(): boolean {
    return this.#turns.length > 0
  }

  /** Runs what an event does, and what follows from it in the same turn of the event loop. */
  do(event: Event): void {
    const { queueMicrotask } = globalThis
    globalThis.queueMicrotask = (task) => void this.#microtasks.push(task)
    try {
      this.#act(event)
      if (!this.rules.pauses) this.#goOn()
      this.#ring()
    } finally {
      globalThis.queueMicrotask = queueMicrotask
    }
  }

  #act(event: Event): void {
    switch (event.do) {
      case "ask":
        return this.#ask(event.key)
      case "end":
        return this.#end(found(this.borrowers[event.borrower]), event.how)
      case "begin dial":
      case "open":
      case "fail":
      case "end dial":
      case "leave dial":
      case "end left dial":
        return this.#actOnDial(event.do, found(this.dials.get(event.dial)))
      case "close":
      case "leave close":
      case "die":
        return this.#actOnConnection(event.do, found(this.connections.get(event.connection)))
      case "pass check":
      case "fail check":
        return this.#endCheck(event.connection, event.do === "pass check")
      case "evict":
        return this.core.evict(event.key)
      case "resize":
        this.caps = event
        return this.core.resize(event)
      case "pass time":
        return this.#passTime()
      case "turn loop":
        return this.#turnLoop()
      case "go on":
        return this.#goOn()
      default:
        return this.#operate(event.do)
    }
  }

  #operate(what: "suspend" | "refuse" | "resume" | "drain" | "force"): void {
    switch (what) {
      case "suspend":
      case "refuse":
        this.suspended = what === "suspend" ? "Waiting" : "Refusing"
        return this.core.suspend(what === "suspend" ? "wait" : "fail")
      case "resume":
        this.suspended = "No"
        return this.core.resume()
      case "drain":
        this.isDraining = true
        this.core.startDraining()
        return this.core.whenEmptied(() => void this.emptied++)
      case "force":
        return this.core.force()
    }
  }

  // ---- borrowers, as `Borrow` has them ---------------------------------------------------------------------------------

  #ask(key: string): void {
    const borrower = this.#free()
    borrower.outcome = "None"
    if (this.core.isOver) return
    borrower.lease = new Lease(
      this.core.endpoint(key),
      new FakeFiber(borrower.number + 1).fiber,
      borrower.number + 1,
      undefined
    )
    borrower.lease.fiber = undefined
    this.#attempt(borrower)
  }

  #free(): Borrower {
    const free = this.borrowers.find(({ lease }) => lease === undefined)
    if (free === undefined) throw new Error("every borrower has a lease")
    return free
  }

  #attempt(borrower: Borrower): void {
    const { lease } = borrower
    if (lease === undefined) return
    this.core.settle()
    const connection = lease.connection ?? this.core.tryLease(lease)
    if (connection === undefined || lease.turn !== "None" && !this.core.heard(lease)) return this.#wait(borrower, lease)
    if (lease.mustCheck) borrower.isChecking = true
    else this.#begin(borrower, lease)
  }

  #begin(borrower: Borrower, lease: Lease<string, number>): void {
    borrower.outcome = "Served"
    this.core.begun(lease)
  }

  #wait(borrower: Borrower, lease: Lease<string, number>): void {
    let resumes = 0
    lease.resume = (failure) => {
      if (++resumes > 1) this.faults.push("a waiter is resumed twice")
      if (borrower.lease !== lease || resumes > 1) return
      if (failure === undefined) this.#attempt(borrower)
      else this.#refuse(borrower, failure)
    }
    const refusal = this.core.wait(lease)
    if (refusal !== undefined) this.#refuse(borrower, refusal)
  }

  #refuse(borrower: Borrower, error: PoolError): void {
    borrower.outcome = error
    this.refused++
    this.#leave(borrower, Exit.fail(error))
  }

  #end(borrower: Borrower, how: typeof endings[number]): void {
    const exit = how === "Success" ? Exit.void : how === "Failure" ? Exit.fail("no") : Exit.interrupt(borrower.number)
    this.#leave(borrower, exit)
  }

  #leave(borrower: Borrower, exit: Exit.Exit<void, unknown>): void {
    const { lease } = borrower
    if (lease === undefined) return
    borrower.lease = undefined
    borrower.isChecking = false
    this.core.end(lease, exit)
  }

  /** A borrower's check has ended. */
  #checked(borrower: Borrower, works: boolean): void {
    const { lease } = borrower
    if (lease === undefined) return
    borrower.isChecking = false
    if (works && this.core.proved(lease, true)) return this.#begin(borrower, lease)
    const refusal = this.core.reject(lease, false)
    if (refusal !== undefined) return this.#refuse(borrower, refusal)
    if (this.core.remaining(lease) > 0) this.#wait(borrower, lease)
    else this.#refuse(borrower, this.core.timeoutOf(lease))
  }

  // ---- commands ------------------------------------------------------------------------------------------------------

  #runner(): CommandRunner<string, number> {
    let probed: Connection | undefined
    const probe = (value: number) => {
      probed = found(this.connections.get(value))
      return Effect.never
    }
    return new CommandRunner<string, number>({
      // The runner asks for nothing else of them.
      slotHolders: { holding: () => <B>(effect: B) => effect } as never,
      fork: () => {
        const fiber = new FakeFiber()
        if (probed !== undefined) probed.probe = fiber
        return fiber.fiber
      },
      open: (pending) => this.#open(pending),
      close: ({ slot }, events) => {
        this.closes++
        return this.#close(slot.item.scope, events)
      },
      check: probe,
      reset: probe,
      report: () => Effect.void,
      warnNested: () => {}
    })
  }

  #open(pending: PendingDial<string, number>): Fiber.Fiber<void> {
    const fiber = new FakeFiber()
    const state = this.rules.hasGate ? "At gate" : "Dialing"
    const number = this.#dialed++
    this.dials.set(number, { number, pending, fiber, state, ended: () => {} })
    if (!this.rules.hasGate) pending.phase = "Connecting"
    return fiber.fiber
  }

  #close(closed: Scope.Closeable, closable: CloseEvents): Fiber.Fiber<void> {
    const fiber = new FakeFiber()
    const connection = [...this.connections.values()].find(({ scope }) => scope === closed)
    if (connection?.state !== "Open") this.faults.push("a connection is closed that is not open")
    else {
      connection.state = "Closing"
      connection.closable = closable
    }
    return fiber.fiber
  }

  #actOnDial(what: Event["do"], dial: Dial): void {
    const { pending } = dial
    const { dials } = this.core
    switch (what) {
      case "begin dial":
        if (!dials.isWanted(pending.endpoint)) return this.#endDial(dial)
        dial.state = "Dialing"
        pending.phase = "Connecting"
        return
      case "open":
        return this.#opened(dial)
      case "fail": {
        const error = Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
        dials.lookForOther(pending, error)
        if (!pending.isRedundant && !pending.isAbandoned) dials.attemptFailed(pending, failed(error))
        return this.#endDial(dial)
      }
      case "end dial":
        if (!pending.isAbandoned) dials.attemptFailed(pending, new Error("interrupted"))
        return this.#endDial(dial)
      case "leave dial":
        dial.state = "Left behind"
        dial.ended = dials.leftBehind(pending, "Connect")
        dials.lookForOther(pending, "timeout")
        if (!pending.isRedundant && !pending.isAbandoned) dials.attemptFailed(pending, failed(new Error("timeout")))
        return dials.slotKept(pending)
      default:
        dial.ended()
        return this.#endDial(dial)
    }
  }

  #endDial(dial: Dial): void {
    this.dials.delete(dial.number)
    this.core.dials.freed(dial.pending)
    dial.fiber.end(Exit.void)
  }

  #opened({ fiber, number, pending }: Dial): void {
    const { endpoint, slot: { item: { scope } } } = pending
    const watcher = new FakeFiber()
    this.dials.delete(number)
    const connection = { number, key: endpoint.key, scope, watcher, state: "Open" } as const
    this.connections.set(number, { ...connection, closable: undefined, probe: undefined, ended: () => {} })
    const watch = this.rules.deaths ? watcher.fiber : undefined
    this.core.dials.opened(pending, { value: number, watcher: watch })
    fiber.end(Exit.void)
  }

  #actOnConnection(what: "close" | "leave close" | "die", connection: Connection): void {
    const { closable, ended, number, state, watcher } = connection
    switch (what) {
      case "close":
        if (state === "Left behind") ended()
        this.connections.delete(number)
        // One that was left behind has freed its slot before.
        return closable?.freed()
      case "leave close":
        connection.state = "Left behind"
        connection.ended = closable?.leftBehind() ?? ended
        return closable?.freed()
      case "die":
        return watcher.end(Exit.void)
    }
  }

  /** The check of a borrower or of the pool ends. */
  #endCheck(number: number, works: boolean): void {
    const checker = this.borrowers.find(({ isChecking, lease }) => isChecking && lease?.connection?.value === number)
    if (checker !== undefined) return this.#checked(checker, works)
    const connection = found(this.connections.get(number))
    const { probe } = connection
    connection.probe = undefined
    return probe?.end(Exit.succeed(works))
  }

  // ---- time ----------------------------------------------------------------------------------------------------------

  get #clock(): Clock.Clock {
    const [millis, nanos] = [() => this.now, () => BigInt(Math.round(this.now * 1e6))]
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) => {
        this.#slept = Duration.toMillis(duration)
        return Effect.void
      }
    }
  }

  /** An alarm has asked the clock to sleep, unless it is due now, and rings after that. */
  #startTimer<B>(ring: Effect.Effect<B>): Fiber.Fiber<B> {
    const timer = { due: this.now + this.#slept, ring }
    this.#slept = 0
    this.timers.add(timer)
    return new FakeFiber(0, () => void this.timers.delete(timer)).fiber
  }

  get nextDue(): number {
    return Math.min(...[...this.timers].map(({ due }) => due))
  }

  #passTime(): void {
    this.now = Math.max(this.now, this.nextDue)
    loopTurns.last++
  }

  /** Rings the alarms that are due. */
  #ring(): void {
    for (let round = 0; round < 100 && this.nextDue <= this.now; round++) {
      for (const timer of [...this.timers]) {
        if (timer.due <= this.now && this.timers.delete(timer)) Effect.runSync(timer.ring)
      }
      if (!this.rules.pauses) this.#goOn()
    }
    if (this.nextDue <= this.now) this.faults.push("an alarm rings without an end")
  }

  #turnLoop(): void {
    for (let turn = this.#turns.splice(0); turn.length > 0; turn = this.#turns.splice(0)) {
      loopTurns.last++
      for (const act of turn) act()
    }
  }

  /** Runs the microtasks. */
  #goOn(): void {
    for (let task = this.#microtasks.shift(); task !== undefined; task = this.#microtasks.shift()) task()
  }
}

const found = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error("there is none")
  return value
}

const failed = (error: Error) => new AttemptFailed(error, Failure.classify(error, { dial: true }), 0)
