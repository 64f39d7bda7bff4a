/**
 * MongoDB's driver, against peers that speak its protocol, and its error classes as it makes them.
 */
import { BSON, MongoClient, type MongoClientOptions } from "mongodb"
import * as Mongo from "mongodb"
import type * as Net from "node:net"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

/** The documents of one message, and the number that its answer names. */
const requestsIn = (data: Buffer): ReadonlyArray<{ readonly id: number; readonly isQuery: boolean }> => {
  const requests = []
  for (let at = 0; at + 16 <= data.length; at += data.readInt32LE(at)) {
    requests.push({ id: data.readInt32LE(at + 4), isQuery: data.readInt32LE(at + 12) === 2004 })
  }
  return requests
}

const answerTo = ({ id, isQuery }: { readonly id: number; readonly isQuery: boolean }, document: object): Buffer => {
  const bytes = BSON.serialize(document)
  const head = isQuery ? Buffer.alloc(20) : Buffer.alloc(5)
  if (isQuery) head.writeInt32LE(1, 16)
  const envelope = Buffer.alloc(16)
  envelope.writeInt32LE(16 + head.length + bytes.length, 0)
  envelope.writeInt32LE(id, 8)
  envelope.writeInt32LE(isQuery ? 1 : 2013, 12)
  return Buffer.concat([envelope, head, bytes])
}

const greeting = {
  ok: 1,
  helloOk: true,
  isWritablePrimary: true,
  minWireVersion: 0,
  maxWireVersion: 21,
  maxBsonObjectSize: 1e7,
  maxMessageSizeBytes: 4e7,
  maxWriteBatchSize: 1000
}

const isGreeted = (data: Buffer): boolean => /hello|ismaster/i.test(data.toString("latin1"))

/** A server that greets, and does this with every command after that. */
const server = (f: (socket: Net.Socket, answer: (document: object) => void) => void) =>
  Peers.peer((socket) => {
    socket.on("data", (data) => {
      for (const request of requestsIn(data)) {
        if (isGreeted(data)) socket.write(answerTo(request, greeting))
        else f(socket, (document) => void socket.write(answerTo(request, document)))
      }
    })
  })

const quick = {
  serverSelectionTimeoutMS: 20_000,
  connectTimeoutMS: 20_000,
  directConnection: true,
  retryReads: false,
  retryWrites: false,
  monitorCommands: false
} as const

const using = async (
  port: number | Promise<number>,
  f: (client: MongoClient) => Promise<unknown> = (client) => client.db("d").collection("c").insertOne({}),
  options: MongoClientOptions = {}
): Promise<unknown> => {
  const client = new MongoClient(`mongodb://127.0.0.1:${await port}`, { ...quick, ...options })
  // It would wait for answers that never come.
  return Peers.closing(Peers.errorOf(f(client)), () => void client.close().catch(() => {}))
}

/** The driver looks for a server until its time is up, whatever it meets meanwhile. */
const connecting = (port: number | Promise<number>, options?: MongoClientOptions) =>
  using(port, (client) => client.connect(), { serverSelectionTimeoutMS: 300, connectTimeoutMS: 200, ...options })

const refusal = (code: number, fields: object = {}) => () =>
  using(server((_, answer) => answer({ ok: 0, code, errmsg: "refused", ...fields })))

const duplicate = () =>
  using(server((_, answer) => answer({ ok: 1, n: 0, writeErrors: [{ index: 0, code: 11000, errmsg: "E11000" }] })))

const concern = () =>
  using(
    server((_, answer) =>
      answer({ ok: 1, n: 1, writeConcernError: { code: 64, errmsg: "waiting for replication timed out" } })
    )
  )

/** Of two commands one has the only connection, and the other one waits. */
const exhausted = () =>
  using(server(() => {}), (client) => {
    const insert = () => client.db("d").collection("c").insertOne({})
    return Promise.all([insert(), insert()])
  }, { maxPoolSize: 1, waitQueueTimeoutMS: 30 })

const login = {
  serverSelectionTimeoutMS: 20_000,
  connectTimeoutMS: 20_000,
  auth: { username: "u", password: "p" },
  authMechanism: "SCRAM-SHA-256"
} as const

/** An error as the driver makes it. */
const made = (error: Mongo.MongoError, ...labels: ReadonlyArray<string>) => async (): Promise<unknown> => {
  for (const label of labels) error.addErrorLabel(label)
  return error
}

/** What the driver knows of a server that it does not select, as its error carries it. */
const notSelected = (error: Mongo.MongoError) =>
  new Mongo.MongoServerSelectionError("Server selection timed out after 30000 ms", { error } as never)
const tooOld = new Mongo.MongoCompatibilityError("Server at db:27017 reports maximum wire version 3")

const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" })
const overloaded = ["SystemOverloadedError", "RetryableError"]

export const cases: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => connecting(Peers.refusing)),
  dial.Transient("silence", () => connecting(Peers.silent)),
  dial.Transient("an end at once", () => connecting(Peers.ending)),
  dial.Transient("a reset", () => connecting(Peers.resetting)),
  dial.Transient("another protocol", () => connecting(Peers.garbage)),
  dial.Fatal(
    "18, a wrong password",
    () => connecting(server((_, answer) => answer({ ok: 0, code: 18, errmsg: "Authentication failed." })), login)
  ),
  dial.Fatal("MongoServerSelectionError, a server that is too old", made(notSelected(tooOld))),
  dial.Fatal("an address that is none", () => Peers.thrownBy(() => new MongoClient("http://x"))),
  dial.Fatal(
    "an option that is not known",
    () => Peers.thrownBy(() => new MongoClient("mongodb://x", { nothing: 1 } as never))
  ),
  dial.Transient(
    "MongoNetworkError, labelled by the driver",
    made(
      new Mongo.MongoNetworkError("connect ECONNREFUSED", { cause: refused }),
      ...overloaded
    )
  ),
  dial.Transient(
    "MongoNetworkTimeoutError, labelled by the driver",
    made(
      new Mongo.MongoNetworkTimeoutError("Socket 'connect' timed out after 100ms"),
      ...overloaded
    )
  ),
  call.Unsent(
    "MongoNetworkError of a dial under a command",
    made(
      new Mongo.MongoNetworkError("Socket closed after 1 during connection establishment"),
      ...overloaded
    )
  ),
  call.Ambiguous("an end under a command", () => using(server((socket) => socket.end()))),
  call.Ambiguous("a reset under a command", () => using(server((socket) => socket.resetAndDestroy()))),
  call.Ambiguous(
    "silence under a command, socketTimeoutMS",
    () => using(server(() => {}), undefined, { socketTimeoutMS: 50 })
  ),
  call.Ambiguous(
    "MongoOperationTimeoutError",
    made(new Mongo.MongoOperationTimeoutError("Timed out during socket read"))
  ),
  call.Unsent(
    "a closed port under a command",
    () => using(Peers.refusing, undefined, { serverSelectionTimeoutMS: 300 })
  ),
  call.Unsent("all connections in use", exhausted),
  call.Fatal("11000, a key that is there already", duplicate),
  call.Fatal("13, not authorized", refusal(13)),
  call.Fatal("50, maxTimeMS", refusal(50)),
  call.Fatal("26, no such collection", refusal(26)),
  call.Transient("112, a conflict of writes", refusal(112)),
  call.Transient("251 in a transaction", refusal(251, { errorLabels: ["TransientTransactionError"] })),
  call.Ambiguous("64, the write concern", concern),
  call.Ambiguous("91, shutting down", refusal(91)),
  call.Ambiguous("11600, interrupted by a shutdown", refusal(11600)),
  call.Ambiguous("a commit whose end is not known", refusal(50, { errorLabels: ["UnknownTransactionCommitResult"] })),
  call.Redirect("10107, not the primary", refusal(10107)),
  call.Redirect("13435, not the primary", refusal(13435)),
  { ...call.RemoteSaturated("462, overloaded", refusal(462, { errorLabels: overloaded })), sent: false },
  call.Fatal("a client that was closed", () =>
    using(server(() => {}), async (client) => {
      await client.connect()
      await client.close()
      await client.db("d").collection("c").insertOne({})
    })),
  call.Ambiguous("MongoNetworkError", made(new Mongo.MongoNetworkError("connection 1 to db:27017 closed"))),
  call.Transient(
    "MongoNetworkError in a transaction",
    made(
      new Mongo.MongoNetworkError("connection 1 to db:27017 closed"),
      "TransientTransactionError"
    )
  )
]
