/**
 * The password of a session: asked for when a session is opened, and part of no configuration.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { isSqlError } from "effect/sql/SqlError"
import * as Http from "node:http"

/** Where passwords come from. */
export class Password extends Context.Service<Password, {
  /** The password with which the next session logs in. It dies with {@link PasswordUnavailable}, and the invocation fails with that. */
  readonly current: Effect.Effect<Redacted.Redacted>
  /** Forgets a password that the server has refused. `false`: none is ever kept, so that asking again cannot help. */
  readonly forget: Effect.Effect<boolean>
}>()("example/Password") {}

export class PasswordUnavailable extends Data.TaggedError("PasswordUnavailable")<{
  readonly source: string
  readonly why: string
}> {
  override get message(): string {
    return `there is no password from ${this.source}: ${this.why}`
  }
}

const unavailable = (source: string) => (error: unknown) =>
  new PasswordUnavailable({ source, why: error instanceof Error ? error.message : String(error) })

// ---- Secrets Manager ---------------------------------------------------------------------------------------------------

/** AWS Parameters and Secrets Lambda Extension: an HTTP server in the instance, which asks Secrets Manager with the role of the function. */
const extension = Config.all({
  port: Config.withDefault(Config.Port("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"), 2773),
  token: Config.Redacted("AWS_SESSION_TOKEN")
})

class ExtensionFailed extends Data.TaggedError("ExtensionFailed")<{ readonly message: string }> {}

/** The text of a response with status 200. `node:http` is loaded already, by the runtime client; `fetch` is not. */
const get = (url: string, headers: Http.OutgoingHttpHeaders): Effect.Effect<string, ExtensionFailed> =>
  Effect.callback((resume) => {
    const fail = ({ message }: { readonly message: string }) => resume(Effect.fail(new ExtensionFailed({ message })))
    // Without an agent the connection is closed after the response, and nothing stays open while the instance is frozen.
    const request = Http.get(url, { headers, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (part: string) => text += part).on("error", fail)
      response.on("end", () =>
        response.statusCode === 200
          ? resume(Effect.succeed(text))
          : fail({ message: `the extension answers with status ${response.statusCode}` }))
    }).on("error", fail)
    return Effect.sync(() => request.destroy())
  })

const Secret = Schema.fromJsonString(Schema.Struct({
  SecretString: Schema.fromJsonString(Schema.Struct({ password: Schema.String }))
}))

const read = (secret: string): Effect.Effect<Redacted.Redacted, PasswordUnavailable> =>
  Effect.gen(function*() {
    const { port, token } = yield* extension
    const text = yield* get(`http://localhost:${port}/secretsmanager/get?secretId=${encodeURIComponent(secret)}`, {
      "X-Aws-Parameters-Secrets-Token": Redacted.value(token)
    })
    const { SecretString } = yield* Effect.mapError(
      Schema.decodeEffect(Secret)(text),
      // The decoder's own error would have the text in it.
      () => new ExtensionFailed({ message: "it is not JSON with a text under the key \"password\"" })
    )
    return Redacted.make(SecretString.password)
  }).pipe(Effect.mapError(unavailable(`the secret ${secret.split(":").at(-1)}`)))

/**
 * The key "password" of a secret in Secrets Manager. It is read when the first session is opened, and kept for later ones until the
 * server refuses it. A failure is not kept.
 */
export const fromSecret = (secret: Config.Config<string>): Layer.Layer<Password, Config.ConfigError> =>
  Layer.effect(
    Password,
    Effect.map(secret, (name) => {
      let kept: Redacted.Redacted | undefined
      const keep = Effect.map(Effect.orDie(read(name)), (password) => kept = password)
      return Password.of({
        current: Effect.suspend(() => kept === undefined ? keep : Effect.succeed(kept)),
        // Another statement that was refused at the same time may have forgotten it already. Asking again helps this one too.
        forget: Effect.sync(() => {
          kept = undefined
          return true
        })
      })
    })
  )

// ---- IAM ---------------------------------------------------------------------------------------------------------------

/** The part of `Signer` of `@aws-sdk/rds-signer` that is needed here. */
export interface Signer {
  readonly getAuthToken: () => Promise<string>
}

/** A token of IAM for each session. It is signed in the process, without a request, and valid for 15 minutes, but only for logging in. */
export const fromSigner = (signer: Signer): Layer.Layer<Password> =>
  Layer.succeed(Password, {
    current: Effect.tryPromise({ try: () => signer.getAuthToken(), catch: unavailable("IAM") }).pipe(
      Effect.map(Redacted.make),
      Effect.orDie
    ),
    forget: Effect.succeed(false)
  })

// ---- rotation ----------------------------------------------------------------------------------------------------------

const isRefused = (error: unknown): boolean => isSqlError(error) && error.reason._tag === "AuthenticationError"

/**
 * Runs a statement or a transaction, and once more with a new password if the server has refused the kept one: the secret was rotated.
 * The login has failed, so nothing has run yet.
 */
export const withFreshPassword = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Password> =>
  Effect.catchIf(effect, isRefused, (error) =>
    Effect.flatMap(
      Effect.flatMap(Password, ({ forget }) => forget),
      (isForgotten) => isForgotten ? effect : Effect.fail(error)
    ))
