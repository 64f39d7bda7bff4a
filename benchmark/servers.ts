/**
 * Servers of comparisons: each in a directory of its own, on a free port, gone when it is not used any more.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = Net.createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const listening = async (port: number): Promise<void> => {
  for (let attempt = 0; attempt < 200; attempt++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = Net.connect({ host: "127.0.0.1", port }, () => {
        socket.destroy()
        resolve(true)
      }).on("error", () => resolve(false))
    })
    if (isOpen) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`nothing listens on port ${port}`)
}

/** The account a server runs under when we are root. */
export const accountOf = (name: string): ChildProcess.SpawnOptions => {
  if (process.getuid?.() !== 0) return {}
  const id = (option: string) => Number(ChildProcess.execFileSync("id", [option, name], { encoding: "utf8" }))
  return { uid: id("-u"), gid: id("-g") }
}

/** Runs a server of its own while `use` runs. */
export const withServer = async <A>(
  start: (directory: string, port: number) => ChildProcess.ChildProcess,
  use: (port: number) => Promise<A>
): Promise<A> => {
  const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-bench-"))
  Fs.chmodSync(directory, 0o777)
  const port = await freePort()
  const server = start(directory, port)
  try {
    await listening(port)
    return await use(port)
  } finally {
    server.kill("SIGKILL")
    Fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** Redis without a file. */
export const redis = (directory: string, port: number) =>
  ChildProcess.spawn("redis-server", ["--port", String(port), "--save", "", "--dir", directory], { stdio: "ignore" })
