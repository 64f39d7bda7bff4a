/**
 * Where in the program something was asked for.
 *
 * @since 0.1.0
 */

/** A place in the program that is put into words only when somebody reads it, which few are. */
export class CallSite {
  // V8 fills it when it is read for the first time, which takes several times as long as capturing it.
  readonly #captured: { readonly stack?: string }

  constructor(captured: { readonly stack?: string }) {
    this.#captured = captured
  }

  /** `function (file:line:column)`, or `undefined` if the platform keeps no stack. */
  get text(): string | undefined {
    return this.#captured.stack?.split("\n")[1]?.trim().replace(/^at /, "")
  }
}

/** The place that called `api`. It has to be taken while the call is on the stack: inside an Effect the stack shows only the run loop. */
export const callerOf = (api: Function): CallSite => {
  const limit = Error.stackTraceLimit
  const captured: { readonly stack?: string } = {}
  Error.stackTraceLimit = 1
  Error.captureStackTrace(captured, api)
  Error.stackTraceLimit = limit
  return new CallSite(captured)
}

/** How many call sites are taken in how many milliseconds. */
const quota = { sites: 100, millis: 100 }

/**
 * Takes call sites as long as they are cheap beside the work: each costs over a microsecond, which nobody notices a thousand
 * times a second, and which would double what the fastest calls cost. Whatever is called from the same place again and
 * again is met all the same.
 */
export class CallSites {
  #since = -Infinity
  #taken = 0

  /** The place that called `api`, unless the quota of this moment is used up. `now` is in milliseconds. */
  callerOf(api: Function, now: number): CallSite | undefined {
    if (now - this.#since >= quota.millis) {
      this.#since = now
      this.#taken = 0
    }
    return this.#taken++ < quota.sites ? callerOf(api) : undefined
  }
}
