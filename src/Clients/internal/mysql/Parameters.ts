/**
 * Converts parameters to values that both protocols of the server accept.
 *
 * @since 0.1.0
 */
import type { ExecuteValues } from "mysql2"

/**
 * Whether the driver sends an object as a value. Any other object is sent as JSON, because the driver would escape it into
 * assignments.
 */
const isValue = (value: object): boolean => value instanceof Date || value instanceof Uint8Array

const parameterOf = (value: unknown): ExecuteValues => {
  if (value === undefined || value === null) return null
  if (typeof value === "object" && !isValue(value)) return JSON.stringify(value)
  if (value instanceof Uint8Array && !Buffer.isBuffer(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
  // Functions and symbols are refused by the driver.
  return value as ExecuteValues
}

/** A missing value is NULL. */
export const parametersOf = (params: ReadonlyArray<unknown>): Array<ExecuteValues> => params.map(parameterOf)
