/**
 * What `ImportConfig` has, for bundlers. They leave it out of a program that reads no options from `Config`, which they cannot do
 * with an import at run time.
 *
 * @since 0.1.0
 */
import * as ConfigFailure from "./ConfigFailure.ts"

export const importConfig = () => Promise.resolve(ConfigFailure)
