/**
 * The files that a monitor reads, held open from the start, so that reading them needs no descriptor later.
 *
 * @since 0.1.0
 */
import { attempt } from "./Probe.ts"
import type { ProcReader } from "./ProcReader.ts"
import { fromFailure } from "./Reading.ts"

/**
 * A small file that can be read again and again.
 *
 * @category models
 * @since 0.1.0
 */
export interface SmallFile {
  readonly path: string
  /** Its text now. It throws what the system throws. */
  readonly text: () => string
}

const rethrow = (cause: unknown): never => {
  throw cause
}

/** Whether what was thrown says that there is no descriptor left. */
export const isSaturation = (cause: unknown): boolean => fromFailure(cause, "")._tag === "Saturated"

const sparePath = "/dev/null"

/**
 * The descriptors that one monitor holds.
 *
 * **Details**
 *
 * One of them is a spare. What must open something for a moment does it in the place of the spare: the spare is closed, the
 * file is read, and the spare is opened again. So it works when nothing is left, and nobody else ever goes without for the
 * monitor's sake. Where another thread takes the place in between, the spare is lost until there is room again.
 */
export class HeldFiles {
  readonly #reader: ProcReader
  readonly #held = new Set<number>()
  #spare: number | undefined
  #lent = 0
  #isOver = false

  constructor(reader: ProcReader) {
    this.#reader = reader
    this.regainSpare()
  }

  /** How many descriptors are held now, or used in the place of the spare. */
  get count(): number {
    return this.#held.size + this.#lent
  }

  /** Whether a descriptor is one of those that are held. */
  holds(descriptor: number): boolean {
    return this.#held.has(descriptor)
  }

  /** A descriptor, for as long as it is held: then its number may be that of somebody else's file, and this throws. */
  held(descriptor: number): number {
    if (!this.#held.has(descriptor)) throw new Error("the monitor is closed")
    return descriptor
  }

  /** Opens a path and holds it. It throws what the system throws. */
  open(path: string): number {
    const descriptor = this.#reader.open(path)
    this.#held.add(descriptor)
    return descriptor
  }

  release(descriptor: number): void {
    if (this.#held.delete(descriptor)) attempt(() => this.#reader.close(descriptor))
  }

  /** Closes everything for good. */
  close(): void {
    this.#isOver = true
    this.#held.forEach((descriptor) => this.release(descriptor))
  }

  /**
   * A file to be read now and later. It is held where `isHeld`, else it is opened for each reading, in the place of the
   * spare if need be. Where it cannot be opened, other than for want of descriptors, each reading throws the reason.
   */
  file(path: string, isHeld: boolean): SmallFile {
    const byPath = { path, text: () => this.contents(path) }
    try {
      if (isHeld) {
        const descriptor = this.open(path)
        return { path, text: () => this.#reader.text(this.held(descriptor)) }
      }
      byPath.text()
      return byPath
    } catch (cause) {
      return isSaturation(cause) ? byPath : { path, text: () => rethrow(cause) }
    }
  }

  /** The whole text of a file that is read once. It throws what the system throws. */
  contents(path: string): string {
    return this.inPlaceOfSpare(() => this.#reader.contents(path))
  }

  /** The names in a directory. It throws what the system throws. */
  names(path: string): ReadonlyArray<string> {
    return this.inPlaceOfSpare(() => this.#reader.names(path))
  }

  /**
   * Does what needs one descriptor for a moment, in the place of the spare, so that it takes none from anybody else: not
   * even the last one that is free.
   */
  inPlaceOfSpare<A>(act: () => A): A {
    this.regainSpare()
    this.#loseSpare()
    try {
      return act()
    } finally {
      this.regainSpare()
    }
  }

  /** Makes room for one descriptor that is used for longer, and yields what takes the room back when that is closed. */
  lendSpare(): () => void {
    this.regainSpare()
    if (!this.#loseSpare()) return () => {}
    this.#lent += 1
    return () => {
      this.#lent -= 1
      this.regainSpare()
    }
  }

  /** Opens the spare where it is lost and there is room again. */
  regainSpare(): void {
    if (this.#spare === undefined && this.#lent === 0 && !this.#isOver) {
      this.#spare = attempt(() => this.open(sparePath))
    }
  }

  #loseSpare(): boolean {
    const spare = this.#spare
    if (spare === undefined) return false
    this.#spare = undefined
    this.release(spare)
    return true
  }
}
