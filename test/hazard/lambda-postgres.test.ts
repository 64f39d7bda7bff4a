/**
 * The example for AWS Lambda as it is deployed: its bundle, under the real runtime client, against a PostgreSQL that demands TLS and
 * passwords, and a server in the place of AWS Parameters and Secrets Lambda Extension.
 *
 * It needs `npm ci --prefix test/Serverless/ric`, openssl and PostgreSQL's `initdb` and `postgres`, and is skipped without them.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Deferred, Effect, Exit, Layer, Redacted, Schedule } from "effect"
import type { Scope } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as SqlClient from "effect/sql/SqlClient"
import { AuthenticationError, SqlError } from "effect/sql/SqlError"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Password from "../../examples/lambda/Password.ts"
import { copySources, deploy, fileOfReadme, template } from "../Serverless/Deployment.ts"
import { type Answer, hasRuntimeClient, Instance } from "../Serverless/RuntimeApi.ts"
import * as Certificates from "../support/Certificates.ts"
import * as Servers from "../support/Servers.ts"
import * as TcpServer from "../support/TcpServer.ts"

const sessionToken = "token of the role"
const secretName = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders/app"

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-deployment-"))
let module = ""
beforeAll(async () => {
  module = await deploy(folder)
})
afterAll(() => Fs.rmSync(folder, { recursive: true }))

/** A server on which `app` can only log in over TLS, with a password. */
const database = (certificate: Certificates.Certificate) =>
  Effect.gen(function*() {
    const server = yield* Servers.postgresWith({
      access: ["hostssl all app 127.0.0.1/32 scram-sha-256", "hostnossl all sluice 127.0.0.1/32 trust"],
      certificate
    })
    // It listens before it has started up.
    const superuser = yield* Effect.retry(
      PgConnection.make({ host: "127.0.0.1", port: server.port, username: "sluice", database: "postgres" }),
      { times: 100, schedule: Schedule.spaced("50 millis") }
    )
    const run = (sql: string) => Effect.orDie(superuser.query(sql))
    yield* run("CREATE ROLE app LOGIN")
    return {
      port: server.port,
      setPassword: (password: string) => run(`ALTER ROLE app PASSWORD '${password}'`),
      endSessions: run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'"),
      sessions: Effect.map(
        run(
          "SELECT application_name AS name, ssl, pid FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'app'"
        ),
        ({ rows }) => rows
      )
    }
  }).pipe(Effect.orDie)

interface Extension {
  readonly port: number
  /** How a request is answered. */
  answer: { readonly status: number; readonly text: string }
  /** What was asked for, with which token. */
  readonly asked: Array<readonly [url: string | undefined, token: unknown]>
}

const secretWith = (password: string) => ({
  status: 200,
  text: JSON.stringify({ ARN: secretName, SecretString: JSON.stringify({ username: "app", password }) })
})

const listening = (server: Http.Server): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      const { port } = server.address() as Net.AddressInfo
      return port
    }),
    () =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

const extension = Effect.gen(function*() {
  const asked: Extension["asked"] = []
  const server = Http.createServer((request, response) => {
    asked.push([request.url, request.headers["x-aws-parameters-secrets-token"]])
    response.writeHead(made.answer.status, { "Content-Type": "application/json" }).end(made.answer.text)
  })
  const made: Extension = { port: yield* listening(server), answer: { status: 500, text: "" }, asked }
  return made
})

const textFrom = async (url: string): Promise<string> => {
  // The first argument of the event is the response.
  const [response] = await once(Http.get(url), "response") as [Http.IncomingMessage]
  const parts: Array<Buffer> = await response.toArray()
  return Buffer.concat(parts).toString()
}

/** Counts the dials of a server. */
const counting = (port: number) =>
  TcpServer.make((socket) => {
    const onward = Net.connect(port, "127.0.0.1")
    for (const [from, to] of [[socket, onward], [onward, socket]] as const) {
      from.on("error", () => to.destroy()).on("close", () => to.destroy())
      from.pipe(to)
    }
  })

interface Deployed {
  readonly invoke: (name: string) => Effect.Effect<Answer>
  readonly instance: Instance
}

/**
 * The function with a login by IAM, changed as README.md says. The token of the signer is not a signature here: it is what the signer was
 * made with.
 */
const deployWithIam = (): Promise<string> => {
  const from = Path.join(folder, "iam")
  Fs.mkdirSync(from)
  copySources(from)
  Fs.writeFileSync(Path.join(from, "Iam.ts"), fileOfReadme("Iam.ts"))
  const handler = Path.join(from, "handler.ts")
  const withSecret = Fs.readFileSync(handler, "utf8")
  const replaced = "Password.fromSecret(Config.String(\"DATABASE_SECRET\"))"
  assert.include(withSecret, replaced)
  Fs.writeFileSync(handler, `import * as Iam from "./Iam.ts"\n${withSecret.replace(replaced, "Iam.layer")}`)
  const signer = Path.join(from, "signer.ts")
  Fs.writeFileSync(
    signer,
    `export class Signer {
      constructor({ hostname, port, username }) { this.token = [hostname, port, username].join() }
      getAuthToken() { return Promise.resolve(this.token) }
    }`
  )
  return deploy(Path.join(from, "out"), { from, packages: { "@aws-sdk/rds-signer": signer } })
}

/** Starts the bundle with what the template has in `Environment`, and nothing else of a database; without an extension, nothing of a secret. */
const start = (env: {
  readonly port: number
  readonly extension: number | undefined
  readonly authorities: string
  readonly module?: string
}): Effect.Effect<Deployed, never, Scope.Scope> =>
  Effect.gen(function*() {
    const authorities = Path.join(folder, "authorities.pem")
    Fs.writeFileSync(authorities, env.authorities)
    const instance = yield* Effect.acquireRelease(
      Effect.promise(() =>
        Instance.start({
          function: { module: env.module ?? module, name: "handler" },
          alternativeClient: true,
          env: {
            PGHOST: "localhost",
            PGPORT: String(env.port),
            PGDATABASE: "postgres",
            PGUSER: "app",
            PGSSLROOTCERT: authorities,
            AWS_SESSION_TOKEN: sessionToken,
            ...(env.extension === undefined ? {} : {
              DATABASE_SECRET: secretName,
              PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(env.extension)
            })
          }
        })
      ),
      (instance) => Effect.promise(() => instance.close())
    )
    assert.deepStrictEqual(instance.registrations, ["registered"], instance.output)
    return { instance, invoke: (name) => Effect.promise(() => instance.invoke({ name }, 8000)) }
  })

const greetingOf = ({ how, text }: Answer): { readonly greeting: string; readonly session: number } => {
  assert.strictEqual(how, "response", text)
  return JSON.parse(text)
}

const authority = Certificates.authority("the authority of the tests")

const test = Servers.needs("initdb", "postgres", "openssl")

describe.skipIf(!hasRuntimeClient)("the example for Lambda", () => {
  test("answers over TLS through one session that bears its instance's name, and ends it at SIGTERM", () =>
    Effect.gen(function*() {
      const server = yield* database(authority.issue("localhost"))
      const secrets = yield* extension
      yield* server.setPassword("first")
      secrets.answer = secretWith("first")
      const { instance, invoke } = yield* start({
        port: server.port,
        extension: secrets.port,
        authorities: authority.cert
      })
      // Nothing is read before an invocation needs it.
      assert.deepStrictEqual(secrets.asked, [])
      const answers = [greetingOf(yield* invoke("one")), greetingOf(yield* invoke("two"))]
      assert.deepStrictEqual(answers.map(({ greeting }) => greeting), ["hello one", "hello two"])
      const sessions = yield* server.sessions
      assert.deepStrictEqual(sessions.map(({ pid, ssl }) => ({ pid, ssl })), [{ pid: answers[1]?.session, ssl: true }])
      assert.match(String(sessions[0]?.["name"]), /^example [0-9a-f-]{36}\/0$/)
      assert.strictEqual(answers[0]?.session, answers[1]?.session)
      // Once, for one session.
      const path = `/secretsmanager/get?secretId=${encodeURIComponent(secretName)}`
      assert.deepStrictEqual(secrets.asked, [[path, sessionToken]])
      yield* Effect.promise(() => instance.end())
      assert.strictEqual(instance.ending, 0, instance.output)
      yield* TcpServer.eventually(() => !instance.isAlive)
      assert.deepStrictEqual(yield* server.sessions, [])
    }))

  test("opens its next session after the secret was rotated, without a failed invocation", () =>
    Effect.gen(function*() {
      const server = yield* database(authority.issue("localhost"))
      const secrets = yield* extension
      const proxy = yield* counting(server.port)
      yield* server.setPassword("before")
      secrets.answer = secretWith("before")
      const { invoke } = yield* start({
        port: proxy.endpoint.port,
        extension: secrets.port,
        authorities: authority.cert
      })
      const sessions = [greetingOf(yield* invoke("Ada")).session]
      for (const password of ["after", "long after"]) {
        yield* server.setPassword(password)
        secrets.answer = secretWith(password)
        // The session that is open is not ended by a rotation.
        assert.strictEqual(greetingOf(yield* invoke("Ada")).session, sessions.at(-1))
        yield* server.endSessions
        const { session } = greetingOf(yield* invoke("Ada"))
        assert.notInclude(sessions, session)
        sessions.push(session)
      }
      assert.strictEqual(secrets.asked.length, 3)
      // For each rotation the refused login, and the one with the new password.
      assert.strictEqual(proxy.account.opened, 5)
      // With the same password the next session does not ask.
      yield* server.endSessions
      greetingOf(yield* invoke("Ada"))
      assert.strictEqual(secrets.asked.length, 3)
      assert.strictEqual(proxy.account.opened, 6)
    }))

  const untrusted = [
    ["of an authority that it does not know", "localhost", false, /self-signed certificate|unable to verify/],
    ["for another name", "database.test", true, /does not match certificate's altnames/]
  ] as const

  for (const [what, certified, isKnown, message] of untrusted) {
    test(`fails after one dial, with the reason, where the certificate is one ${what}`, () =>
      Effect.gen(function*() {
        const server = yield* database(authority.issue(certified))
        const secrets = yield* extension
        const proxy = yield* counting(server.port)
        yield* server.setPassword("secret password")
        secrets.answer = secretWith("secret password")
        const { instance, invoke } = yield* start({
          port: proxy.endpoint.port,
          extension: secrets.port,
          authorities: isKnown ? authority.cert : Certificates.authority("another authority").cert
        })
        const answer = yield* invoke("Ada")
        assert.strictEqual(answer.how, "error", answer.text)
        assert.match(JSON.parse(answer.text).errorMessage, message)
        assert.strictEqual(proxy.account.opened, 1)
        assert.notInclude(answer.text + instance.output, "secret password")
        assert.isTrue(instance.isAlive)
      }))
  }

  test("fails with the name of the secret while it cannot be read, and answers as soon as it can", () =>
    Effect.gen(function*() {
      const server = yield* database(authority.issue("localhost"))
      const secrets = yield* extension
      const proxy = yield* counting(server.port)
      yield* server.setPassword("right password")
      const { instance, invoke } = yield* start({
        port: proxy.endpoint.port,
        extension: secrets.port,
        authorities: authority.cert
      })
      const failures = [
        [{ status: 400, text: "not ready to serve traffic" }, "the extension answers with status 400"],
        [{ status: 200, text: "{\"SecretString\":\"right password\"}" }, "it is not JSON with a text under the key"]
      ] as const
      for (const [answer, reason] of failures) {
        secrets.answer = answer
        const { how, text } = yield* invoke("Ada")
        assert.strictEqual(how, "error", text)
        assert.include(JSON.parse(text).errorMessage, `there is no password from the secret orders/app: ${reason}`)
        assert.notInclude(text + instance.output, "right password")
      }
      assert.strictEqual(proxy.account.opened, 0)
      secrets.answer = secretWith("right password")
      assert.strictEqual(greetingOf(yield* invoke("Ada")).greeting, "hello Ada")
    }))

  test("logs in with a token of IAM, changed as README.md says", () =>
    Effect.gen(function*() {
      const server = yield* database(authority.issue("localhost"))
      yield* server.setPassword(`localhost,${server.port},app`)
      const module = yield* Effect.promise(deployWithIam)
      const { invoke } = yield* start({
        port: server.port,
        extension: undefined,
        authorities: authority.cert,
        module
      })
      assert.strictEqual(greetingOf(yield* invoke("Ada")).greeting, "hello Ada")
    }))

  test("logs in with a new token for each session where IAM gives them", () =>
    Effect.gen(function*() {
      const server = yield* database(authority.issue("localhost"))
      const tokens: Array<string> = []
      const run = Effect.runPromiseWith(yield* Effect.context<never>())
      const issuer = Http.createServer((_, response) => {
        const token = `token ${tokens.length + 1}`
        tokens.push(token)
        // The one before is valid no longer.
        void run(server.setPassword(token)).then(() => response.writeHead(200, { Connection: "close" }).end(token))
      })
      const port = yield* listening(issuer)
      const signer = { getAuthToken: () => textFrom(`http://127.0.0.1:${port}`) }
      const client = Layer.unwrap(Effect.map(Password.Password, ({ current }) =>
        Postgres.layer({
          host: "localhost",
          port: server.port,
          username: "app",
          database: "postgres",
          ssl: { ca: authority.cert },
          password: current,
          // A session for each statement.
          connectionTTL: 0
        }))).pipe(Layer.provideMerge(Password.fromSigner(signer)), Layer.provide(Layer.fresh(ResourceMonitor.layer)))
      const program = Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const sessions = new Set<unknown>()
        for (let turn = 0; turn < 3; turn++) {
          const rows = yield* Password.withFreshPassword(sql`SELECT pg_backend_pid() AS pid`)
          sessions.add(rows[0]?.["pid"])
        }
        return sessions.size
      })
      assert.strictEqual(yield* Effect.provide(program, client), 3)
      assert.deepStrictEqual(tokens, ["token 1", "token 2", "token 3"])
    }))
})

describe("withFreshPassword", () => {
  it.live("runs every statement again of several that were refused at once", () =>
    Effect.gen(function*() {
      const secrets = yield* extension
      secrets.answer = secretWith("before")
      const provider = ConfigProvider.fromEnvRecord({
        PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(secrets.port),
        AWS_SESSION_TOKEN: sessionToken
      })
      const program = Effect.gen(function*() {
        const { current } = yield* Password.Password
        let logins = 0
        const bothHaveTried = Deferred.makeUnsafe<void>()
        // Refused as at a server that has the password "after".
        const statement = Effect.gen(function*() {
          const password = Redacted.value(yield* current)
          if (++logins === 2) Deferred.doneUnsafe(bothHaveTried, Exit.void)
          yield* Deferred.await(bothHaveTried)
          if (password === "after") return "done"
          return yield* new SqlError({ reason: new AuthenticationError({ cause: "28P01" }) })
        })
        yield* current
        secrets.answer = secretWith("after")
        const both = Array.from({ length: 2 }, () => Password.withFreshPassword(statement))
        return yield* Effect.all(both, { concurrency: "unbounded" })
      })
      const ended = yield* program.pipe(
        Effect.provide(Password.fromSecret(Config.succeed(secretName))),
        Effect.provideService(ConfigProvider.ConfigProvider, provider)
      )
      assert.deepStrictEqual(ended, ["done", "done"])
      assert.isAtMost(secrets.asked.length, 3)
    }))
})

describe("the template of the example", () => {
  it("has no secret in it, and does not resolve one into the configuration", () => {
    const text = template()
    assert.notMatch(text, /resolve:|PGPASSWORD|NoEcho/)
    assert.match(text, /^ +DATABASE_SECRET: !Ref DatabaseSecret$/m)
  })
})
