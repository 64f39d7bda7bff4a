/**
 * The open descriptors of this process, without the one that reads the list; `null` where there is no list.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"

/** Linux, then macOS and the BSDs. */
const lists = ["/proc/self/fd", "/dev/fd"]

export const count = (): number | null => {
  for (const list of lists) {
    try {
      return Fs.readdirSync(list).length - 1
    } catch {
      // There is no such list, or it cannot be read: the next one.
    }
  }
  return null
}

/**
 * Makes the event loop open its spare descriptor, which it opens with the first socket and never closes. A count before that would
 * take it for a leak.
 */
export const openSpare = (): Promise<void> =>
  new Promise((resolve) => {
    const server = Net.createServer()
    server.listen(0, "127.0.0.1", () => server.close(() => resolve()))
  })
