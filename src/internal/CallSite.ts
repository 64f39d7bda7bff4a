/**
 * Where in the program something was asked for.
 *
 * @since 0.1.0
 */

/**
 * The place that called `api`, as `function (file:line:column)`. It has to be taken while the call is on the stack: inside
 * an Effect the stack shows only the run loop.
 */
export const callerOf = (api: Function): string | undefined => {
  const limit = Error.stackTraceLimit
  const holder: { stack?: string } = {}
  Error.stackTraceLimit = 1
  Error.captureStackTrace(holder, api)
  Error.stackTraceLimit = limit
  return holder.stack?.split("\n")[1]?.trim().replace(/^at /, "")
}
