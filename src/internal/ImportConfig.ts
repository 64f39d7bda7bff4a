/**
 * Imports what reads `Config`, when it is first needed. Node takes this module, and a bundler takes `BundledConfig`, as the field
 * `imports` of package.json says.
 *
 * @since 0.1.0
 */
export const importConfig = () => import("./ConfigFailure.ts")
