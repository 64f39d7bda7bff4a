/**
 * Dials: from the name of a host to a connection, through several addresses and through TLS.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { certificate, certifiedName } from "../../../support/Certificates.ts"
import { countSockets } from "../../../support/descriptors.ts"
import { stall } from "../../../support/stall.ts"
import * as TcpServer from "../../../support/TcpServer.ts"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Says that a name has these addresses. */
const resolvingTo = (...addresses: ReadonlyArray<string>): Net.LookupFunction => (_, options, callback) => {
  assert.isTrue(options.all)
  callback(null, addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })))
}

/** A loopback address on which nothing of this test listens. */
const deaf = "127.0.0.2"

const service = ({ endpoint }: TcpServer.TcpServer) => Endpoint.tcp(certifiedName, endpoint.port)

describe("a name with several addresses", () => {
  it.live("is connected at the address that takes connections, wherever it stands", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      for (const addresses of [[deaf, "127.0.0.1"], ["127.0.0.1", deaf], ["127.0.0.3", deaf, "127.0.0.1"]]) {
        const lookup = resolvingTo(...addresses)
        const connection = yield* TcpConnection.connect(service(server), { lookup })
        yield* connection.write("ping")
        assert.strictEqual(text(yield* connection.read), "ping")
      }
      assert.strictEqual(server.account.opened, 3)
    }))

  it.live("that all refuse fails with one DialFailed, which has the errors of all and the code of the most telling", () =>
    Effect.gen(function*() {
      const gone = yield* Effect.scoped(Effect.map(TcpServer.echo, service))
      const before = countSockets()
      const error = yield* Effect.flip(TcpConnection.connect(gone, { lookup: resolvingTo(deaf, "127.0.0.1") }))
      assert(error.reason._tag === "DialFailed" && error.reason.cause instanceof AggregateError)
      assert.strictEqual(error.reason.code, "ECONNREFUSED")
      for (const address of [deaf, "127.0.0.1"]) assert.include(error.message, `${address}:${gone.port}`)
      assert.isTrue(error.isRetryable)
      assert.deepInclude(Failure.classify(error), { class: "Transient", sent: false })
      assert.strictEqual(countSockets(), before)
    }))

  it.live("loses no socket when its dial is interrupted at any step", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const before = countSockets()
      const dial = TcpConnection.connect(service(server), { lookup: resolvingTo(deaf, "127.0.0.3", "127.0.0.1") })
      for (let yields = 0; yields < 40; yields++) {
        const fiber = yield* Effect.scoped(Effect.andThen(dial, Effect.never)).pipe(
          Effect.forkChild({ startImmediately: true })
        )
        for (let i = 0; i < yields; i++) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
      }
      yield* server.drained
      assert.strictEqual(countSockets(), before)
    }))

  it.live("fails, and loses no socket, when its scope ends before the dial does", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const before = countSockets()
      for (let yields = 0; yields < 20; yields++) {
        const scope = yield* Scope.make()
        const dial = TcpConnection.connect(service(server), { lookup: resolvingTo(deaf, "127.0.0.1"), tls: true })
        const fiber = yield* Scope.provide(dial, scope).pipe(Effect.forkChild({ startImmediately: true }))
        for (let i = 0; i < yields; i++) yield* Effect.yieldNow
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      }
      yield* server.drained
      assert.strictEqual(countSockets(), before)
    }))
})

describe("a look-up", () => {
  it.live("may answer with one address only", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.end("hello"))
      const lookup: Net.LookupFunction = (_, __, callback) => callback(null, "127.0.0.1", 4)
      const connection = yield* TcpConnection.connect(service(server), { lookup })
      assert.strictEqual(text(yield* connection.read), "hello")
    }))

  it.live("that says with undefined that nothing failed has found what it says", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.end("hello"))
      // As a look-up in plain JavaScript may call back.
      const lookup = (_: string, __: object, callback: (error: undefined, found: ReadonlyArray<object>) => void) =>
        void setImmediate(() => callback(undefined, [{ address: "127.0.0.1", family: 4 }]))
      const connection = yield* TcpConnection.connect(service(server), {
        lookup: lookup as unknown as Net.LookupFunction
      })
      assert.strictEqual(text(yield* connection.read), "hello")
    }))

  it.live("that fails, throws or finds nothing fails the dial", () =>
    Effect.gen(function*() {
      const lookups: Array<Net.LookupFunction> = [
        (_, __, callback) => callback(Object.assign(new Error("try again"), { code: "EAI_AGAIN" }), []),
        () => {
          throw Object.assign(new Error("thrown"), { code: "EAI_AGAIN" })
        },
        resolvingTo(),
        // What calls back with no list later must not end the process.
        (_, __, callback) => void setImmediate(() => callback(null, undefined as unknown as string))
      ]
      const codes = yield* Effect.forEach(lookups, (lookup) =>
        Effect.map(
          Effect.flip(TcpConnection.connect(Endpoint.tcp(certifiedName, 1), { lookup })),
          ({ reason }) => reason._tag === "DialFailed" && reason.code
        ))
      assert.deepStrictEqual(codes, ["EAI_AGAIN", "EAI_AGAIN", "ENOTFOUND", "ENOTFOUND"])
    }))

  it.effect("that does not end fails with a DialTimeout that says so", () =>
    Effect.gen(function*() {
      const dial = TcpConnection.connect(Endpoint.tcp(certifiedName, 1), { lookup: () => {} })
      const fiber = yield* Effect.forkChild(Effect.flip(dial), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      const { message, reason } = yield* Fiber.join(fiber)
      assert.deepInclude(reason, { _tag: "DialTimeout", phase: "LookUp" })
      assert.strictEqual(message, "the name of service.test:1 was not resolved within 10s")
    }))
})

/** Serves TLS and says the server name that it was asked for. */
const tlsServer = (options: Tls.TlsOptions = {}, onSecure: (socket: Tls.TLSSocket) => void = () => {}) =>
  Effect.gen(function*() {
    const names: Array<unknown> = []
    const tls = Tls.createServer({ ...certificate(), ...options }, (socket) => {
      names.push(socket.servername)
      socket.on("error", () => {})
      onSecure(socket)
    })
    tls.on("tlsClientError", () => {})
    const server = yield* TcpServer.make((socket) => void tls.emit("connection", socket))
    return { ...server, names }
  })

const trusting = { ca: certificate().cert }

describe("TLS", () => {
  const local = resolvingTo(deaf, "127.0.0.1")

  it.live("runs over the address that was connected, and the connection reads, writes and ends as any other", () =>
    Effect.gen(function*() {
      const server = yield* tlsServer({}, (socket) => void socket.pipe(socket))
      const before = countSockets()
      const ending = yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* TcpConnection.connect(service(server), { tls: trusting, lookup: local })
        yield* connection.write("ping")
        assert.strictEqual(text(yield* connection.read), "ping")
        return connection.closed
      })).pipe(Effect.flatten)
      assert.deepInclude(ending, { how: "Graceful", code: undefined })
      yield* server.drained
      assert.strictEqual(countSockets(), before)
      assert.strictEqual(server.account.broken, 0)
    }))

  it.live("names the server without a dot at the end", () =>
    Effect.gen(function*() {
      const server = yield* tlsServer()
      const { port } = server.endpoint
      const parsed = yield* Endpoint.parse(`${certifiedName}.:${port}`)
      const made = new Endpoint.TcpEndpoint({ host: `${certifiedName}.`, port })
      for (const endpoint of [parsed, made]) {
        yield* TcpConnection.connect(endpoint, { tls: trusting, lookup: local })
      }
      const tls = { ...trusting, servername: `${certifiedName}.` }
      yield* TcpConnection.connect(server.endpoint, { tls })
      yield* TcpServer.eventually(() => server.names.length === 3)
      assert.deepStrictEqual(server.names, [certifiedName, certifiedName, certifiedName])
    }))

  it.live("fails the dial for a certificate of another name, and for options that make no sense before it opens anything", () =>
    Effect.gen(function*() {
      const server = yield* tlsServer()
      const other = Endpoint.tcp("other.test", server.endpoint.port)
      const wrong = yield* Effect.flip(TcpConnection.connect(other, { tls: trusting, lookup: local }))
      assert.propertyVal(wrong.reason, "code", "ERR_TLS_CERT_ALTNAME_INVALID")
      assert.isFalse(wrong.isRetryable)
      const opened = server.account.opened
      const bad = yield* Effect.flip(TcpConnection.connect(other, { tls: { cert: "nonsense" }, lookup: local }))
      assert.strictEqual(bad.reason._tag, "DialFailed")
      assert.strictEqual(server.account.opened, opened)
    }))

  it.live("whose handshake the server does not answer fails with a DialTimeout that says so", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const options = { tls: true, connectTimeout: "50 millis", lookup: local } as const
      const { message, reason } = yield* Effect.flip(TcpConnection.connect(service(server), options))
      assert.deepInclude(reason, { _tag: "DialTimeout", phase: "Handshake", code: "ETIMEDOUT" })
      assert.include(message, "accepted the connection, but did not complete the TLS handshake, within 50ms")
      // What came of the other address is there too.
      assert.include(message, "ECONNREFUSED")
    }))

  it.live("1.3 without the certificate that the server demands fails the first read or write with the alert's code", () =>
    Effect.gen(function*() {
      const server = yield* tlsServer({ requestCert: true, minVersion: "TLSv1.3" })
      const connection = yield* TcpConnection.connect(service(server), { tls: trusting, lookup: local })
      const errors = [yield* Effect.flip(connection.read), yield* Effect.flip(connection.read)]
      yield* connection.closed
      errors.push(yield* Effect.flip(connection.write("late")))
      for (const error of errors) {
        assert.propertyVal(error.reason, "code", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED")
        assert.strictEqual(Failure.classify(error).class, "Fatal")
        assert.include(error.message, "certificate required")
        assert.match(error.message, /SSL alert number 116$/)
      }
      assert.deepInclude(yield* connection.closed, { how: "Reset", code: "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED" })
    }))
})

describe("an event loop that does not turn", () => {
  /** What runs in this step has begun to connect when the next one keeps the loop from turning. */
  const stalled = Effect.callback<void>((resume) => {
    process.nextTick(() => {
      stall(150)
      resume(Effect.void)
    })
  })

  it.live("is no reason to give up a dial that was up in time", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const connect = TcpConnection.connect(server.endpoint, { connectTimeout: "50 millis" })
      const fiber = yield* Effect.forkChild(connect, { startImmediately: true })
      const start = performance.now()
      yield* stalled
      assert.isAtLeast(performance.now() - start, Duration.toMillis("100 millis"))
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
    }))

  it.live("is no reason to force an end that the peer gave in time", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => {
        socket.resume().on("end", () => {
          socket.end()
          stall(150)
        })
      }, { allowHalfOpen: true })
      const closed = yield* Effect.scoped(
        Effect.map(TcpConnection.connect(server.endpoint, { closeTimeout: "50 millis" }), ({ closed }) => closed)
      )
      assert.strictEqual((yield* closed).how, "Graceful")
    }))
})
