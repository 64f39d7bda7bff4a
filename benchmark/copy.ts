/**
 * Loads a copy of the library, such as the commit before a change: a checkout with `src`, or an installed package with `dist`.
 * It brings its own copy of Effect, so that nothing of another copy may be used with it.
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"

/** The modules of a copy. They have the shape of the modules of those names here, as far as they are used. */
export interface Copy {
  readonly Effect: typeof import("effect/Effect")
  readonly Exit: typeof import("effect/Exit")
  readonly Fiber: typeof import("effect/Fiber")
  readonly Latch: typeof import("effect/Latch")
  readonly Scope: typeof import("effect/Scope")
  readonly ConnectionPool: typeof import("../src/Pool/ConnectionPool.ts")
  readonly Connector: typeof import("../src/Resource/Connector.ts")
  readonly ResourceMonitor: typeof import("../src/Monitor/ResourceMonitor.ts")
}

export const load = async (path: string): Promise<Copy> => {
  const root = resolve(path)
  const isCheckout = existsSync(join(root, "tsconfig.json"))
  const resolveFrom = createRequire(join(root, "package.json"))
  const ofEffect = async <Name extends keyof Copy>(name: Name): Promise<Copy[Name]> =>
    import(pathToFileURL(resolveFrom.resolve(`effect/${name}`)).href) as Promise<Copy[Name]>
  const ofLibrary = async <Name extends keyof Copy>(folder: string, name: Name): Promise<Copy[Name]> => {
    const file = isCheckout ? `src/${folder}/${name}.ts` : `dist/${folder}/${name}.js`
    return import(pathToFileURL(join(root, file)).href) as Promise<Copy[Name]>
  }
  return {
    Effect: await ofEffect("Effect"),
    Exit: await ofEffect("Exit"),
    Fiber: await ofEffect("Fiber"),
    Latch: await ofEffect("Latch"),
    Scope: await ofEffect("Scope"),
    ConnectionPool: await ofLibrary("Pool", "ConnectionPool"),
    Connector: await ofLibrary("Resource", "Connector"),
    ResourceMonitor: await ofLibrary("Monitor", "ResourceMonitor")
  }
}

type Effect<A, E = never> = import("effect/Effect").Effect<A, E>

/** Runs an effect so many times, one after the other. A loop counts down once, so that each run takes one of its own. */
export const repeatIn =
  ({ Effect }: Pick<Copy, "Effect">) => <E>(times: number, body: () => Effect<void, E>): Effect<void, E> =>
    Effect.suspend(() => {
      let left = times
      return Effect.whileLoop({ while: () => left > 0, body, step: () => void left-- })
    })
