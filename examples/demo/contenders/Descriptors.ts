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
 * Makes the runtime open what it opens once and never closes: the event loop's spare descriptor with the first socket, and on Bun a copy of
 * its descriptor for each standard stream that is used. A count before that would take these for leaks.
 */
export const openKept = async (): Promise<void> => {
  for (const name of ["stdin", "stdout", "stderr"] as const) Reflect.get(process, name)
  await new Promise<void>((resolve) => {
    const server = Net.createServer()
    server.listen(0, "127.0.0.1", () => server.close(() => resolve()))
  })
}
