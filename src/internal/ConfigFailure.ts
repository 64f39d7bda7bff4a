/**
 * Options from `Config`. Invalid ones fail with `ConfigError`, because they come from outside the program. This module loads
 * `Config` and `Schema`; the core reaches it through `ConfigOptions` alone.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { InvalidOption } from "./InvalidOption.ts"
import { safeMessage } from "./SafeText.ts"

/** A `ConfigError` with this message. */
export const configError = (message: string): Config.ConfigError =>
  new Config.ConfigError(new Schema.SchemaError(new SchemaIssue.InvalidValue({ message: safeMessage(message) })))

/** Reads options from `Config` and passes them to `make`. Invalid options fail with `ConfigError`, like unreadable ones. */
export const fromConfig = <A, B, R>(
  config: Config.Wrap<A>,
  make: (options: A) => Effect.Effect<B, InvalidOption, R>
): Effect.Effect<B, Config.ConfigError, R> =>
  Effect.flatMap(
    Config.unwrap(config),
    (options) => Effect.mapError(make(options), (refusal) => configError(refusal.message))
  )
