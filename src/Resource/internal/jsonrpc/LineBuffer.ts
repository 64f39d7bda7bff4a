/**
 * Splits the bytes of a connection into lines of bounded length.
 *
 * @since 0.1.0
 */

const newline = 0x0a
const carriageReturn = 0x0d
const noBytes = Buffer.alloc(0)

/** A buffer that is larger than this is not kept for the next line. */
const keptCapacity = 65_536

/** The result of {@link LineBuffer.push}: complete lines, and whether the line after them is too long. */
export interface Lines {
  /** A line that is not UTF-8 is returned as bytes. */
  readonly lines: ReadonlyArray<string | Uint8Array>
  readonly tooLong: boolean
}

/**
 * Joins chunks of bytes into lines of at most `limit` bytes.
 *
 * The start of an incomplete line is copied into one buffer, whose size doubles when it is full. So even if a peer sends single
 * bytes, the buffer has at most twice the limit, and the time is linear in the number of bytes. Bytes are decoded only when
 * their line is complete, so a chunk may end inside a character.
 */
export class LineBuffer {
  readonly #limit: number
  readonly #decoder = new TextDecoder("utf-8", { fatal: true })
  #start: Buffer = noBytes
  #length = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Adds the next bytes. Empty lines are left out, and `\r\n` ends a line too. */
  push(chunk: Uint8Array): Lines {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const lines: Array<string | Uint8Array> = []
    let from = 0
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, from)) {
      if (this.#length + end - from > this.#limit) return { lines, tooLong: true }
      const line = this.#complete(bytes.subarray(from, end))
      if (line !== "") lines.push(line)
      from = end + 1
    }
    const rest = bytes.subarray(from)
    if (this.#length + rest.length > this.#limit) return { lines, tooLong: true }
    this.#keep(rest)
    return { lines, tooLong: false }
  }

  /** The last line, if the peer has ended without a newline; empty if there is none. */
  rest(): string | Uint8Array {
    return this.#complete(noBytes)
  }

  #complete(end: Buffer): string | Uint8Array {
    if (this.#length === 0) return this.#decode(end)
    this.#keep(end)
    const line = this.#decode(this.#start.subarray(0, this.#length))
    this.#length = 0
    if (this.#start.length > keptCapacity) this.#start = noBytes
    return line
  }

  #keep(bytes: Buffer): void {
    const length = this.#length + bytes.length
    if (length > this.#start.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#start.length))
      this.#start.copy(grown, 0, 0, this.#length)
      this.#start = grown
    }
    bytes.copy(this.#start, this.#length)
    this.#length = length
  }

  #decode(line: Buffer): string | Uint8Array {
    const end = line.length > 0 && line[line.length - 1] === carriageReturn ? line.length - 1 : line.length
    const bytes = line.subarray(0, end)
    try {
      return this.#decoder.decode(bytes)
    } catch {
      // A copy, because the buffer is reused.
      return new Uint8Array(bytes)
    }
  }
}
