/**
 * Noticing that whoever had to close something is gone.
 *
 * @since 0.1.0
 */

/** What is done when a guard has been collected. It must not refer to the guard, which would never be collected then. */
export interface Loss {
  readonly onLost: () => void
}

/**
 * One registry for all guards of the process: it holds nothing but what is registered, and a registry that is itself
 * collected would call nobody back.
 */
const registry = /*#__PURE__*/ new FinalizationRegistry<Loss>((loss) => loss.onLost())

/** Calls `loss.onLost` after `guard` has been garbage-collected, unless {@link forget} comes first. */
export const guard = (guard: object, loss: Loss): void => registry.register(guard, loss, loss)

/** Ends what {@link guard} began. */
export const forget = (loss: Loss): void => {
  registry.unregister(loss)
}
