/**
 * amqplib, against RabbitMQ and against peers that accept and misbehave.
 */
import * as Amqp from "amqplib"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

export const need: Peers.Need = { name: "RabbitMQ", port: 5672 }

const open = async (port: number | Promise<number>, path = "", options: object = {}) => {
  const connection = await Amqp.connect(`amqp://guest:guest@127.0.0.1:${await port}${path}`, options)
  connection.on("error", () => {})
  return connection
}

const connecting = (port: number | Promise<number>, path?: string, options?: object): Promise<unknown> =>
  Peers.errorOf(open(port, path, options).then((connection) => connection.close()))

const wrongPassword = () => Peers.errorOf(Amqp.connect("amqp://guest:wrong@127.0.0.1:5672"))

/** The error of what a channel of its own is used for. */
const using = async (f: (channel: Amqp.Channel) => Promise<unknown>): Promise<unknown> => {
  const connection = await open(need.port)
  const channel = await connection.createChannel()
  channel.on("error", () => {})
  return Peers.closing(Peers.errorOf(f(channel)), () => connection.close())
}

const queue = () => `sluice-${process.pid}-${Math.random().toString(36).slice(2)}`

const redeclared = () =>
  using(async (channel) => {
    const { queue: name } = await channel.assertQueue(queue(), { exclusive: true, durable: false })
    await channel.assertQueue(name, { exclusive: true, durable: false, maxPriority: 3 })
  })

const taken = async () => {
  const owner = await open(need.port)
  const channel = await owner.createChannel()
  const { queue: name } = await channel.assertQueue(queue(), { exclusive: true, durable: false })
  return Peers.closing(using((other) => other.checkQueue(name)), () => owner.close())
}

const afterClose = () =>
  using(async (channel) => {
    await channel.close()
    channel.publish("", "nowhere", Buffer.from("x"))
  })

const afterRefusal = () =>
  using(async (channel) => {
    await channel.checkQueue("nowhere").catch(() => {})
    await channel.checkQueue("nowhere")
  })

/** A confirmed message that the broker refuses, because its queue is full and says so. */
const nacked = async () => {
  const connection = await open(need.port)
  const channel = await connection.createConfirmChannel()
  const { queue: name } = await channel.assertQueue("", {
    exclusive: true,
    durable: false,
    arguments: { "x-max-length": 1, "x-overflow": "reject-publish" }
  })
  const sent = async () => {
    for (let i = 0; i < 5; i++) {
      channel.sendToQueue(name, Buffer.from("x"))
      await channel.waitForConfirms()
    }
  }
  return Peers.closing(Peers.errorOf(sent()), () => connection.close())
}

/** A frame with which a broker closes the connection. */
const closingFrame = (code: number, text: string): Buffer => {
  const payload = Buffer.concat([
    Buffer.from([0, 10, 0, 50, code >> 8, code & 255, text.length]),
    Buffer.from(text),
    Buffer.alloc(4)
  ])
  const head = Buffer.from([1, 0, 0, 0, 0, 0, payload.length])
  return Buffer.concat([head, payload, Buffer.from([0xce])])
}

/** What a connection over a link tells of its end: by an error, or as it closes. */
const ended = (end: (link: Peers.Link) => void) => async () => {
  const link = await Peers.linkTo(need.port)
  const connection = await open(link.port)
  const told = new Promise((resolve) => connection.once("close", resolve).once("error", resolve))
  end(link)
  return told
}

/** The error of a call that waits for its answer when the connection ends. */
const pending = (end: (link: Peers.Link) => void) => async () => {
  const link = await Peers.linkTo(need.port)
  const connection = await open(link.port)
  const channel = await connection.createChannel()
  channel.on("error", () => {})
  link.freeze()
  const waiting = Peers.errorOf(channel.checkQueue("nowhere"))
  await Peers.sleep(10)
  end(link)
  return waiting
}

const unconfirmed = async () => {
  const link = await Peers.linkTo(need.port)
  const connection = await open(link.port)
  const channel = await connection.createConfirmChannel()
  channel.on("error", () => {})
  link.freeze()
  const waiting = new Promise((resolve) => channel.sendToQueue("nowhere", Buffer.from("x"), {}, resolve))
  await Peers.sleep(10)
  link.client().end()
  return waiting
}

/** What needs no server. */
export const cases: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => connecting(Peers.refusing)),
  dial.Transient("silence, timeout", () => connecting(Peers.silent, "", { timeout: 30 })),
  dial.Transient("an end at once", () => connecting(Peers.ending)),
  dial.Transient("an end after the first message", () => connecting(Peers.endingLater)),
  dial.Transient("a reset", () => connecting(Peers.resetting)),
  dial.Transient("another protocol", () => connecting(Peers.garbage)),
  dial.Fatal("an option that makes no sense", () => connecting(Peers.silent, "/?maxFrameSize=1")),
  dial.Fatal("a URL of another protocol", () => Peers.thrownBy(() => Amqp.connect("http://127.0.0.1"))),
  dial.Fatal(
    "TLS of a server without it",
    async () => Peers.errorOf(Amqp.connect(`amqps://127.0.0.1:${await Peers.garbage}`))
  )
]

/** What only RabbitMQ itself can say. */
export const real: ReadonlyArray<Case> = [
  dial.Fatal("a wrong password", wrongPassword),
  dial.Fatal("a virtual host that is not there", () => connecting(need.port, "/nowhere")),
  dial.Fatal(
    "a mechanism that the server has not",
    () => connecting(need.port, "", { credentials: { mechanism: "NONE", response: () => Buffer.alloc(0) } })
  ),
  call.Fatal("404, no such queue", () => using((channel) => channel.checkQueue("nowhere"))),
  call.Fatal("403, access refused", () => using((channel) => channel.assertQueue("amq.mine"))),
  call.Fatal("406, declared otherwise", redeclared),
  call.Transient("405, locked by another connection", taken),
  call.Unsent("a channel that was closed", afterClose),
  call.Unsent("a channel that the server has closed", afterRefusal),
  call.Ambiguous("a message that was refused", nacked),
  call.Ambiguous(
    "320, closed by an operator",
    ended((link) => link.client().write(closingFrame(320, "CONNECTION_FORCED")))
  ),
  call.Ambiguous(
    "541, an error of the server",
    ended((link) => link.client().write(closingFrame(541, "INTERNAL_ERROR")))
  ),
  call.RemoteSaturated("506, no resources", ended((link) => link.client().write(closingFrame(506, "RESOURCE_ERROR")))),
  call.Fatal("501, a frame that is wrong", ended((link) => link.client().write(closingFrame(501, "FRAME_ERROR")))),
  call.Ambiguous("an end", ended((link) => link.client().end())),
  call.Ambiguous("a reset", ended((link) => link.client().resetAndDestroy())),
  call.Ambiguous("an end under a call", pending((link) => link.client().end())),
  call.Ambiguous("a reset under a call", pending((link) => link.client().resetAndDestroy())),
  call.Ambiguous("an end under a message that is not confirmed", unconfirmed)
]
