/**
 * Errors for a runtime that shows the name, the message and the stack of an error, but not its causes.
 *
 * @since 0.1.0
 */
import { isObject, read } from "../../internal/SafeRead.ts"
import { errorText } from "../../internal/SafeText.ts"

/** The most causes that are shown. A chain may be a circle. */
const most = 8

/** A message with the texts of the causes that it does not have itself. */
const messageOf = (error: Error): string => {
  let message = error.message
  let cause = read(error, "cause")
  for (let level = 0; level < most && cause !== undefined; level++) {
    const text = errorText(cause)
    if (!message.includes(text)) message = `${message}: ${text}`
    cause = isObject(cause) ? read(cause, "cause") : undefined
  }
  return message
}

/**
 * An error whose message has the texts of its causes: "Failed to connect" alone does not tell an operator what to do. It is the error itself
 * if that says all, and otherwise an object with the error as its prototype, so that it has its class and its fields.
 */
export const withCauses = (error: Error): Error => {
  const message = messageOf(error)
  if (message === error.message) return error
  // The stack begins with the message that the error had when it was made.
  const stack = error.stack?.replace(error.message, () => message)
  // An object that is made from an error has its type.
  return Object.create(error, { message: { value: message }, stack: { value: stack } }) as Error
}
