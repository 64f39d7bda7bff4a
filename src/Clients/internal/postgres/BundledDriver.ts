/**
 * What `ImportDriver` has, for bundlers. A bundle of one file holds the driver anyway, and an import at run time makes a bundler
 * wrap each module that it reaches in a function, which V8 parses twice.
 *
 * @since 0.1.0
 */
import * as Driver from "./Driver.ts"

export const importDriver = () => Promise.resolve(Driver)
