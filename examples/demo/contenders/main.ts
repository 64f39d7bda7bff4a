/**
 * The process of a contender: an HTTP API whose every request asks the server once.
 */
import * as Http from "node:http"
import type * as Net from "node:net"
import type { ContenderId, ContenderLoad, ContenderStart } from "../Messages.ts"
import { listen, say } from "../Parent.ts"
import type { Contender, Module } from "./Contender.ts"
import * as Descriptors from "./Descriptors.ts"

const modules: Readonly<Record<ContenderId, () => Promise<Module>>> = {
  Sluice: () => import("./Sluice.ts"),
  LightningPool: () => import("./LightningPool.ts"),
  DialPerRequest: () => import("./DialPerRequest.ts"),
  SluicePostgres: () => import("./SluicePostgres.ts"),
  PgPool: () => import("./PgPool.ts"),
  SqlPg: () => import("./SqlPg.ts")
}

const sampleEvery = 100

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 80)

const serve = (contender: Contender): Promise<Http.Server> => {
  const server = Http.createServer((_request, response) => {
    const gone = new AbortController()
    // After the answer this changes nothing.
    response.on("close", () => gone.abort())
    contender.answer(gone.signal).then(
      () => response.end("ok"),
      (error: unknown) => {
        response.statusCode = 503
        response.end(reasonOf(error))
      }
    )
  })
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)))
}

const sample = (): void => {
  const { system, user } = process.cpuUsage()
  say({
    _tag: "Process",
    at: performance.timeOrigin + performance.now(),
    descriptors: Descriptors.count(),
    cpu: (user + system) / 1000
  })
}

const stop = (server: Http.Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Waits for descriptors: closed sockets leave the list in one of the next turns of the event loop. */
const settle = async (before: number | null): Promise<void> => {
  for (let turns = 20; turns > 0 && Number(Descriptors.count()) > Number(before); turns--) await sleep(50)
}

const start = async (
  loading: Promise<Module>,
  { database, host, limits, port }: ContenderStart
): Promise<() => Promise<void>> => {
  const { open } = await loading
  await Descriptors.openKept()
  const before = Descriptors.count()
  const contender = await open({ host, port, limits, database })
  const server = await serve(contender)
  const sampling = setInterval(sample, sampleEvery)
  // The server listens on TCP, so its address has a port.
  say({ _tag: "Ready", port: (server.address() as Net.AddressInfo).port })
  return async () => {
    await stop(server)
    await contender.close()
    clearInterval(sampling)
    await settle(before)
    say({ _tag: "Closed", before, after: Descriptors.count(), held: contender.mostHeld?.() ?? null })
  }
}

// The parent is a program of ours, which sends these three messages.
let loading: Promise<Module> | undefined
let close: Promise<() => Promise<void>> | undefined
listen((message) => {
  if (loading === undefined) loading = modules[(message as ContenderLoad).id]()
  else if (close === undefined) close = start(loading, message as ContenderStart)
  else void close.then((close) => close())
})
