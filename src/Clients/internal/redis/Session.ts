/**
 * One connection to a Redis server: a client of node-redis, and the state of its connection.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RedisError } from "effect/persistence/Redis"
import type { createClient } from "redis"
import { isObject } from "../../../internal/SafeRead.ts"
import { kindOf } from "./CommandKind.ts"
import { CommandTimeout, failed, isReply } from "./Failure.ts"
import { Pending, type Sent } from "./Pending.ts"
import { after, noTransaction, type Transaction } from "./Transaction.ts"

/**
 * A client of node-redis.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Client = ReturnType<typeof createClient>

const sessions = new WeakMap<Client, Session>()

/** The session of a client that was made by a connector of this library. */
export const sessionOf = (client: Client): Session => {
  const session = sessions.get(client)
  if (session === undefined) throw new Error("This client of Redis was not made by a connector of effect-sluice/Redis")
  return session
}

/** The state of one connection. Only this class changes it. */
export class Session {
  readonly client: Client
  readonly endpoint: string
  /** Ends the socket while it connects, which the client itself does not. */
  readonly connecting: AbortController
  /** The function of the client itself. */
  readonly #sendCommand: Client["sendCommand"]
  readonly #pending = new Pending()
  readonly #onAnswered = new Set<() => void>()
  #transaction: Transaction = noTransaction
  /** The error with which the connection has ended, if it has. */
  #endedBy: unknown
  /** A command has changed the connection for good, was given up, or nothing more comes over it. */
  #isUnfit = false

  constructor(client: Client, endpoint: string, connecting: AbortController) {
    this.client = client
    this.endpoint = endpoint
    this.connecting = connecting
    sessions.set(client, this)
    // Unbound: it is called with its receiver, which may be a view of the client.
    this.#sendCommand = Reflect.get(client, "sendCommand") as Client["sendCommand"]
    // A view of the client, such as one with other options, inherits from this object of the driver.
    const self: unknown = Reflect.get(client, "_self")
    Object.assign(isObject(self) ? self : client, { sendCommand: this.#followed() })
    // The client also emits this event when it cannot read an answer, and stays open then.
    client.once("error", (error: unknown) => {
      this.#endedBy = error
      this.spoil()
    })
  }

  /** Commands without an answer. */
  get pending(): number {
    return this.#pending.count
  }

  /** Commands that were sent so far. */
  get sent(): number {
    return this.#pending.sent
  }

  /** A command may be sent. */
  get isUsable(): boolean {
    return !this.#isUnfit && this.client.isReady
  }

  /** The next borrower finds the connection as a new one. */
  get isReusable(): boolean {
    const { isOpen, isWatching } = this.#transaction
    return this.isUsable && !isOpen && !isWatching && !this.#pending.hasExpired &&
      !this.client.isWatching && !this.client.isPubSubActive
  }

  /** It is not used again. */
  spoil(): void {
    this.#isUnfit = true
  }

  /** Ends the connection at once, whatever its state. */
  destroy(): void {
    this.spoil()
    this.client.destroy()
    this.connecting.abort()
  }

  /** Completes when every command has its answer. */
  readonly answered: Effect.Effect<void> = Effect.callback((resume) => {
    const wake = () => resume(Effect.void)
    if (this.pending === 0) return wake()
    this.#onAnswered.add(wake)
    return Effect.sync(() => this.#onAnswered.delete(wake))
  })

  /** Sends a command, and waits for its answer. If it is interrupted the answer is dropped when it comes. */
  command<A>(argv: Array<string>): Effect.Effect<A, RedisError> {
    return Effect.callback<A, RedisError>((resume) => {
      this.#send<A>(argv, resume)
    })
  }

  /** Sends a command on a connection that has one user. One that was interrupted may run on, so the connection is not used again. */
  ownCommand<A>(argv: Array<string>): Effect.Effect<A, RedisError> {
    const [command = "", ...args] = argv
    const answered = Effect.callback<A, RedisError>((resume) => {
      if (kindOf(command, args) === "Session") this.spoil()
      this.#send<A>(argv, resume)
      return Effect.sync(() => this.spoil())
    })
    return Effect.map(answered, (reply) => {
      if (kindOf(command, args) === "Transaction") this.#transaction = after(this.#transaction, command)
      return reply
    })
  }

  /**
   * Fails the commands that have waited for more than `limit` ticks. If the server was silent in that time, the connection is
   * unfit.
   */
  tick(limit: number, duration: Duration.Duration): void {
    const { expired, isSilent } = this.#pending.tick(limit)
    if (isSilent) this.spoil()
    for (const { expire } of expired) expire(duration, isSilent)
  }

  /**
   * What a borrower sends by the client itself, and not by this class. `MULTI` has the next borrower's commands queued, so its transaction has
   * to end in the borrow. The driver knows by itself of `watch`, and its `multi` sends nothing by this function.
   */
  #followed(): Client["sendCommand"] {
    const note = (command: string, args: ReadonlyArray<string>): void => {
      const name = command.toUpperCase()
      if (name === "MULTI") this.#transaction = { ...this.#transaction, isOpen: true }
      else if (name === "EXEC" || name === "DISCARD") this.#transaction = noTransaction
      else if (kindOf(name, args) === "Session") this.spoil()
    }
    const sendCommand = this.#sendCommand
    return function(this: Client, argv, options) {
      const [command = "", ...args] = argv.map(String)
      note(command, args)
      return sendCommand.call(this, argv, options)
    } as Client["sendCommand"]
  }

  #send<A>(argv: Array<string>, resume: (exit: Exit.Exit<A, RedisError>) => void): void {
    const sent = this.#pending.add((after, isSilent) =>
      resume(Exit.fail(failed(
        new CommandTimeout({ endpoint: this.endpoint, after, isSilent, pending: this.pending })
      )))
    )
    this.#sendCommand.call<Client, [Array<string>], Promise<A>>(this.client, argv).then((reply) => {
      this.#settle(sent, true)
      resume(Exit.succeed(reply))
    }, (error: unknown) => {
      this.#settle(sent, isReply(error))
      // If a client is destroyed right after its end, its commands fail with an error that does not have the reason of the end.
      resume(Exit.fail(failed(isReply(error) ? error : this.#endedBy ?? error)))
    })
  }

  #settle(sent: Sent, isAnswer: boolean): void {
    this.#pending.settle(sent, isAnswer)
    if (this.#onAnswered.size > 0 && this.pending === 0) { for (const wake of this.#onAnswered) wake() }
  }
}
