/**
 * Runs a callback after an object was garbage-collected: for a connection or lease whose holder can no longer release it.
 *
 * @since 0.1.0
 */

/** The callback. It must not refer to the guarded object, which would never be collected then. */
export interface GcGuard {
  readonly onCollected: () => void
}

// One registry for the whole process. It holds only its entries, and a registry that is itself collected runs no callbacks.
const registry = /*#__PURE__*/ new FinalizationRegistry<GcGuard>((guard) => guard.onCollected())

/** Calls `guard.onCollected` after `target` was garbage-collected, unless {@link removeGuard} comes first. */
export const addGuard = (target: object, guard: GcGuard): void => registry.register(target, guard, guard)

/** Undoes {@link addGuard}. */
export const removeGuard = (guard: GcGuard): void => {
  registry.unregister(guard)
}
