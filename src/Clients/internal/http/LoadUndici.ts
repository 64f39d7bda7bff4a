/**
 * The undici of `@effect/platform-node`, on every runtime.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"
import { createRequire } from "node:module"

type Module = typeof Undici

/** Bun has its own module under the name `undici`, whose dispatchers cannot make a request. */
const isWhole = (undici: Module): boolean => typeof undici.Dispatcher.prototype.request === "function"

/** Loads the installed undici. Bun replaces only the name of the package, and not the path of a file in it. */
export const loadUndici = (): Promise<Module> =>
  import("@effect/platform-node/Undici").then((named) =>
    isWhole(named) ? named : createRequire(import.meta.resolve("@effect/platform-node/Undici"))("undici/index.js")
  )
