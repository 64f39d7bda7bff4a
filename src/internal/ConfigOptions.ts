/**
 * Options from `Config`, for modules that may not load `Config` and `Schema` before a program asks for them.
 *
 * @since 0.1.0
 */
import { importConfig } from "#import-config"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type { InvalidOption } from "./InvalidOption.ts"

/** Reads options from `Config` and passes them to `make`. Invalid options fail with `ConfigError`, like unreadable ones. */
export const optionsFromConfig = <A, B, R>(
  config: Config.Wrap<A>,
  make: (options: A) => Effect.Effect<B, InvalidOption, R>
): Effect.Effect<B, Config.ConfigError, R> =>
  // `Config` imports `Schema`. Both are loaded only when the options are read.
  Effect.flatMap(Effect.promise(importConfig), ({ fromConfig }) => fromConfig(config, make))
