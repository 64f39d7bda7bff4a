/**
 * The modules that import `@effect/sql-pg`.
 *
 * @since 0.1.0
 */
export { clientOf, servicesOf } from "./Client.ts"
export { checkWith, openWith } from "./OpenSession.ts"
