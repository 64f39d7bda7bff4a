import * as Fs from "node:fs"

/** Open descriptors of this process: the listing itself holds one, which is not counted. */
export const countDescriptors = (): number => Fs.readdirSync("/proc/self/fd").length - 1

const isSocket = (descriptor: string): boolean => {
  try {
    return Fs.readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("socket:")
  } catch {
    // It was closed since it was listed.
    return false
  }
}

/** Open sockets of this process. Files come and go whenever a module is loaded; sockets do not. */
export const countSockets = (): number => Fs.readdirSync("/proc/self/fd").filter(isSocket).length
