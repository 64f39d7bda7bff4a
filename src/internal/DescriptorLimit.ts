/**
 * Recognizes the errors of a process that has reached its limit of descriptors.
 *
 * @since 0.1.0
 */

/** `EMFILE`: the process has no descriptor left. `ENFILE`: the whole host has none. */
export type DescriptorLimitCode = "EMFILE" | "ENFILE"

/** The code of an error that says that no descriptor is left; `undefined` for any other error. */
export const descriptorLimitCode = (error: unknown): DescriptorLimitCode | undefined => {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined
  return code === "EMFILE" || code === "ENFILE" ? code : undefined
}
