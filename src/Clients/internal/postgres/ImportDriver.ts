/**
 * Imports what needs `@effect/sql-pg`, when it is first needed. Node takes this module, and a bundler takes `BundledDriver`, as the
 * field `imports` of package.json says.
 *
 * @since 0.1.0
 */
export const importDriver = () => import("./Driver.ts")
