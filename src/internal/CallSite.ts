/**
 * Where in the program something was asked for.
 *
 * @since 0.1.0
 */
import { startTimer } from "./Timer.ts"

interface Captured {
  readonly stack?: unknown
}

/** A place in the program. Its text is made only when it is read, which is seldom. */
export class CallSite {
  // V8 puts it into words when it is read for the first time, which takes several times as long as capturing it. Until
  // then it keeps the calling function and its `this` alive, and with them whatever they can reach.
  #captured: Captured | undefined
  #text: string | undefined

  constructor(captured: Captured) {
    this.#captured = captured
  }

  /** `function (file:line:column)`, or `undefined` if the platform keeps no stack. */
  get text(): string | undefined {
    if (this.#captured !== undefined) {
      const { stack } = this.#captured
      this.#captured = undefined
      // A program may have stacks prepared as something else than text.
      if (typeof stack === "string") this.#text = stack.split("\n")[1]?.trim().replace(/^at /, "")
    }
    return this.#text
  }

  /** Puts the place into words now, so that it keeps nothing alive. */
  release(): void {
    void this.text
  }
}

const canLimit = (): boolean => {
  const own = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit")
  return own === undefined ? Object.isExtensible(Error) : own.writable === true || own.set !== undefined
}

// A program may freeze its intrinsics. Then the whole stack is taken, which costs more and says the same. It may also take
// away what only V8 has, and then there is no place.
const isLimitable = canLimit()
const canCapture = typeof Error.captureStackTrace === "function"

/** The place that called `api`. It has to be taken while the call is on the stack: inside an Effect the stack shows only the run loop. */
export const callerOf = (api: Function): CallSite => {
  const captured: Captured = {}
  if (!canCapture) return new CallSite(captured)
  const limit = Error.stackTraceLimit
  if (isLimitable) Error.stackTraceLimit = 1
  Error.captureStackTrace(captured, api)
  if (isLimitable) Error.stackTraceLimit = limit
  return new CallSite(captured)
}

/** Sites that are taken at once, and after how many milliseconds as many are taken again. */
const quota = { sites: 100, millis: 100 }

/** Beyond the quota, one call in so many. */
const sampled = 1024

/**
 * Takes call sites as long as they are cheap beside the work: each costs over a microsecond, which does not matter a thousand
 * times a second, but would double what the fastest calls cost. Beyond that it takes one in 1024, so that whatever is
 * called from the same place again and again is met all the same.
 *
 * The time that it bounds is the processor's, whatever clock the program is given, so it asks none: a timer that keeps
 * nothing alive is started when the quota is used up.
 */
export class CallSites {
  #left = quota.sites
  #skipped = 0

  /** The place that called `api`, or `undefined` if it is not this call's turn. */
  callerOf(api: Function): CallSite | undefined {
    if (this.#left > 0) {
      if (--this.#left === 0) startTimer(() => this.#refill(), quota.millis).unref()
      return callerOf(api)
    }
    if (++this.#skipped % sampled !== 0) return undefined
    return callerOf(api)
  }

  #refill(): void {
    this.#left = quota.sites
    this.#skipped = 0
  }
}

/** The quota is one for the process, because it is the process's time that is saved. */
const callSites = /*#__PURE__*/ new CallSites()

let isExact = false

/** Takes every call site from now on, whatever it costs, as tests need. */
export const takeEverySite = (): void => {
  isExact = true
}

/** The place that called `api`, unless so many are taken at this moment that it would be felt. */
export const siteOf = (api: Function): CallSite | undefined => isExact ? callerOf(api) : callSites.callerOf(api)
