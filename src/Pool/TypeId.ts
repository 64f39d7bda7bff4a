/**
 * The key under which a pool keeps its inside.
 *
 * @since 0.1.0
 */

export const TypeId = "~effect-sluice/Pool/ConnectionPool"
export type TypeId = typeof TypeId
