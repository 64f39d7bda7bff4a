/**
 * The place in the program that requested a connection or a lease.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as References from "effect/References"
import { safeText } from "./SafeText.ts"
import { keepAlive, startTimer } from "./Timer.ts"

/**
 * A place in the program. Its text is formatted on first read, because most call sites are never read.
 *
 * @stability stable
 */
export interface CallSite {
  /** `function (file:line:column)`, or `undefined` if it is not known. */
  readonly text: string | undefined
  /** Formats the text now, so that the call site keeps nothing alive. */
  readonly release: () => void
}

interface Captured {
  readonly stack?: unknown
}

/** The names of functions, files and spans may contain input from peers. */
const safePlace = (place: string | undefined): string | undefined => place === undefined ? undefined : safeText(place)

/** The place of a call, from its stack. */
class StackSite implements CallSite {
  // V8 formats the stack when it is first read, which takes several times as long as capturing it. Until then, the stack keeps
  // the calling function, its `this` and everything that they refer to in memory.
  #captured: Captured | undefined
  #text: string | undefined

  constructor(captured: Captured) {
    this.#captured = captured
  }

  /** It is `undefined` if the platform keeps no stack. */
  get text(): string | undefined {
    if (this.#captured !== undefined) {
      const { stack } = this.#captured
      this.#captured = undefined
      // With `Error.prepareStackTrace` a stack can be something other than text.
      if (typeof stack === "string") this.#text = safePlace(stack.split("\n")[1]?.trim().replace(/^at /, ""))
    }
    return this.#text
  }

  release(): void {
    void this.text
  }
}

/** `file:line:column` in a line of a stack, as Effect keeps it for a span. */
const locationIn = (line: string): string => /\(([^()]+)\)$/.exec(line)?.[1] ?? line.replace(/^at /, "")

/** The place of a span or of an `Effect.fn`. A `captureStackTrace` of the program may throw. */
const placeOf = ({ name, stack }: References.StackFrame): string | undefined => {
  try {
    const line = stack()
    return line === undefined ? undefined : safePlace(`${name} (${locationIn(line)})`)
  } catch {
    return undefined
  }
}

/** The innermost place of these, and before any of a package one of the program's own. */
const innermost = (frame: References.StackFrame | undefined): string | undefined => {
  let ofPackage: string | undefined
  for (let next = frame; next !== undefined; next = next.parent) {
    const place = placeOf(next)
    if (place !== undefined && !place.includes("/node_modules/")) return place
    ofPackage ??= place
  }
  return ofPackage
}

/** The place of the innermost span or `Effect.fn` of a fiber with this context. */
export class FiberSite implements CallSite {
  #context: Context.Context<never> | undefined
  #text: string | undefined

  constructor(context: Context.Context<never>) {
    this.#context = context
  }

  get text(): string | undefined {
    if (this.#context !== undefined) {
      this.#text = innermost(Context.get(this.#context, References.CurrentStackFrame))
      this.#context = undefined
    }
    return this.#text
  }

  release(): void {
    void this.text
  }
}

const canLimit = (): boolean => {
  const own = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit")
  return own === undefined ? Object.isExtensible(Error) : own.writable === true || own.set !== undefined
}

// A program may freeze JavaScript's built-in objects. Then the length of the stack cannot be limited, which costs more and
// gives the same text. Without `captureStackTrace`, which only V8 has, there is no call site.
const isLimitable = canLimit()
const canCapture = typeof Error.captureStackTrace === "function"

/** The place that called `api`. Capture it while the call is on the stack: inside an Effect the stack shows only the run loop. */
export const callerOf = (api: Function): CallSite => {
  const captured: Captured = {}
  if (!canCapture) return new StackSite(captured)
  const limit = Error.stackTraceLimit
  if (isLimitable) Error.stackTraceLimit = 1
  Error.captureStackTrace(captured, api)
  if (isLimitable) Error.stackTraceLimit = limit
  return new StackSite(captured)
}

/** How many call sites are captured in each period of `millis`. */
const quota = { sites: 100, millis: 100 }

/** Beyond the quota, one call in this many is captured. */
const sampled = 1024

/**
 * Limits the cost of call sites. Each takes over a microsecond, which is little at a thousand calls a second, but twice the
 * cost of the fastest calls. Beyond the quota, one call in 1024 is captured, so that a place that calls often is still
 * recorded.
 *
 * The purpose is to limit CPU time, so the quota does not depend on the program's clock: a timer of the platform refills it.
 */
export class CallSites {
  #left = quota.sites
  #skipped = 0

  /** The place that called `api`, or `undefined` if this call is not sampled. */
  callerOf(api: Function): CallSite | undefined {
    if (this.#left > 0) {
      if (--this.#left === 0) keepAlive(startTimer(() => this.#refill(), quota.millis), false)
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

/** One quota for the process, because it limits the process's CPU time. */
const callSites = /*#__PURE__*/ new CallSites()

let isExact = false

/** Captures every call site from now on, without a limit, for the reports of tests. */
export const takeEverySite = (): void => {
  isExact = true
}

/** The place that called `api`, within the quota. */
export const siteOf = (api: Function): CallSite | undefined => isExact ? callerOf(api) : callSites.callerOf(api)
