/**
 * Reads values of unknown shape, such as a thrown value. If a getter, proxy or iterator throws, the value counts as absent. The
 * cost does not depend on the size of the value.
 *
 * @since 0.1.0
 */

/** Calls a function that may throw; `undefined` if it does. */
export const quietly = <A>(f: () => A): A | undefined => {
  try {
    return f()
  } catch {
    return undefined
  }
}

/** Reads a property. */
export const read = (node: object, key: string): unknown =>
  // Reading an unknown key of an object is safe; the caller checks the type of the result.
  quietly(() => (node as Record<string, unknown>)[key])

export const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

export const readObject = (node: object, key: string): object | undefined => {
  const value = read(node, key)
  return isObject(value) ? value : undefined
}

export const readString = (node: object, key: string): string | undefined => {
  const value = read(node, key)
  return typeof value === "string" ? value : undefined
}

export const readInteger = (node: object, key: string): number | undefined => {
  const value = read(node, key)
  return Number.isSafeInteger(value) ? Number(value) : undefined
}

/** The value if it is bytes. */
export const bytesOf = (value: unknown): Uint8Array | undefined =>
  quietly(() => value instanceof Uint8Array ? value : undefined)

/** The first `limit` elements of an array, and none of anything else. */
export const readArray = (node: object, key: string, limit: number): ReadonlyArray<unknown> => {
  const value = read(node, key)
  return quietly(() => Array.isArray(value) ? value.slice(0, limit) : []) ?? []
}

/** The first element of an array; anything else is returned as it is. */
export const firstOf = (value: unknown): unknown =>
  quietly((): unknown => Array.isArray(value)) === true && isObject(value) ? read(value, "0") : value

export const has = (node: object, key: string): boolean => quietly(() => key in node) ?? false

/** The name of the class of an object, which a minifier may have changed. */
export const className = (node: object): string | undefined => {
  const constructor = read(node, "constructor")
  return typeof constructor === "function" ? readString(constructor, "name") : undefined
}

/** The names of an error: its tag, its `name`, its class. */
export const namesOf = (node: object): ReadonlyArray<string> =>
  [readString(node, "_tag"), readString(node, "name"), className(node)].filter((name) => name !== undefined)
