/**
 * Subscriptions to channels, all on one connection, which is replaced when it dies.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import type { RedisError, RedisMessage } from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { timeoutOption } from "../../../internal/Timeout.ts"
import { sleepUnref } from "../../../internal/Timer.ts"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import { PoolClosed, PoolError } from "../../../Pool/PoolError.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { failed, fromPool, isReply } from "./Failure.ts"
import type { Client } from "./Session.ts"
import type { Limits } from "./Settings.ts"

/** One subscriber of one channel. */
interface Subscriber {
  readonly channel: string
  readonly queue: Queue.Queue<RedisMessage, RedisError>
  /** Done when the server has confirmed the subscription for the first time, or the queue has failed. */
  readonly settled: Deferred.Deferred<void>
  isConfirmed: boolean
}

/** The present connection, and the channels that it is subscribed to. */
interface Session {
  readonly client: Client
  readonly confirmations: Map<string, Promise<void>>
}

/**
 * In milliseconds. A session that was shorter than this, or failed to begin, is followed by a pause of half to all of this time.
 */
const shortest = 1000

const isFinal = (error: RedisError): boolean =>
  isReply(error.cause) || (error.cause instanceof PoolError && error.cause.reason._tag === "PoolClosed")

/**
 * The subscribers of all channels. When their connection dies, the channels are subscribed on another one, which the pool opens
 * with its own delay and through the gate. Messages that are published in between are lost. A queue fails when the server refuses
 * its channel, when its first subscription cannot be made, when the login is refused, and when the pool is closed.
 */
export class Subscriptions {
  readonly #pool: ConnectionPool.ConnectionPool<Endpoint, Client>
  readonly #limits: Limits
  readonly #fork: (effect: Effect.Effect<void>) => void
  readonly #channels = new Map<string, Set<Subscriber>>()
  #session: Session | undefined
  #isRunning = false
  #isOver = false
  #onEmpty: (() => void) | undefined

  constructor(
    pool: ConnectionPool.ConnectionPool<Endpoint, Client>,
    limits: Limits,
    fork: (effect: Effect.Effect<void>) => void
  ) {
    this.#pool = pool
    this.#limits = limits
    this.#fork = fork
  }

  /** Subscribes to a channel until the scope ends. */
  subscribe(channel: string): Effect.Effect<Queue.Dequeue<RedisMessage, RedisError>, never, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const queue = yield* Queue.unbounded<RedisMessage, RedisError>()
      const subscriber: Subscriber = { channel, queue, settled: Deferred.makeUnsafe(), isConfirmed: false }
      yield* Effect.acquireRelease(
        Effect.sync(() => this.#add(subscriber)),
        () => Effect.andThen(Effect.sync(() => this.#remove(subscriber)), Queue.shutdown(queue))
      )
      yield* Deferred.await(subscriber.settled)
      return queue
    })
  }

  /** Fails all queues, because the pool is closed. */
  readonly end: Effect.Effect<void> = Effect.sync(() => {
    this.#isOver = true
    this.#failAll(this.#closed())
  })

  #closed(): RedisError {
    return failed(new PoolError({ reason: new PoolClosed({ key: String(this.#limits.endpoint) }) }))
  }

  #add(subscriber: Subscriber): void {
    const others = this.#channels.get(subscriber.channel)
    if (others === undefined) this.#channels.set(subscriber.channel, new Set([subscriber]))
    else others.add(subscriber)
    if (this.#isOver) return this.#fail(subscriber, this.#closed())
    if (this.#session !== undefined) this.#confirm(this.#session, subscriber)
    if (!this.#isRunning) this.#fork(this.#run)
  }

  #remove(subscriber: Subscriber): void {
    const { channel } = subscriber
    const subscribers = this.#channels.get(channel)
    if (subscribers?.delete(subscriber) !== true || subscribers.size > 0) return
    this.#channels.delete(channel)
    if (this.#session?.confirmations.delete(channel) === true) {
      // This fails only if the connection has ended.
      this.#session.client.unsubscribe(channel).catch(() => {})
    }
    if (this.#channels.size === 0) this.#onEmpty?.()
  }

  /** Subscribes to the channel on this connection if that was not done, and waits until the server has confirmed it. */
  #confirm(session: Session, subscriber: Subscriber): void {
    const { channel, settled } = subscriber
    const confirmation = session.confirmations.get(channel) ?? session.client.subscribe(channel, (message) => {
      for (const { queue } of this.#channels.get(channel) ?? []) Queue.offerUnsafe(queue, { channel, message })
    })
    session.confirmations.set(channel, confirmation)
    confirmation.then(() => {
      subscriber.isConfirmed = true
      Deferred.doneUnsafe(settled, Exit.void)
    }, (error: unknown) => {
      // If the connection has ended, the channel is subscribed on the next one.
      if (isReply(error)) this.#fail(subscriber, failed(error))
    })
  }

  #fail(subscriber: Subscriber, error: RedisError): void {
    Queue.failCauseUnsafe(subscriber.queue, Cause.fail(error))
    Deferred.doneUnsafe(subscriber.settled, Exit.void)
    this.#remove(subscriber)
  }

  #failAll(error: RedisError, which: (subscriber: Subscriber) => boolean = () => true): void {
    for (const subscribers of [...this.#channels.values()]) {
      for (const subscriber of [...subscribers].filter(which)) this.#fail(subscriber, error)
    }
  }

  /** One connection after another, for as long as there are subscribers. */
  readonly #run: Effect.Effect<void> = Effect.suspend(() => {
    this.#isRunning = true
    return Effect.ensuring(
      Effect.repeat(this.#next(), { while: () => this.#channels.size > 0 }),
      Effect.sync(() => {
        this.#isRunning = false
        // A subscriber that was added in the last step has found this fiber still running, and has started none.
        if (this.#channels.size > 0 && !this.#isOver) this.#fork(this.#run)
      })
    )
  })

  /** One connection, from its lease to its end, and a pause after a short or failed one. */
  #next(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const [duration, exit] = yield* Effect.timed(Effect.exit(Effect.scoped(this.#lease())))
      if (Exit.isFailure(exit)) {
        const error = Exit.findErrorOption(exit)
        if (error._tag === "Some") this.#failAll(error.value, ({ isConfirmed }) => !isConfirmed || isFinal(error.value))
      }
      if (this.#channels.size === 0 || (Exit.isSuccess(exit) && Duration.toMillis(duration) >= shortest)) return
      yield* sleepUnref(Math.round(shortest * (0.5 + 0.5 * (yield* Random.next))))
    })
  }

  /** Subscribes to all channels on one connection. Waits until the connection ends or there are no subscribers. */
  #lease(): Effect.Effect<void, RedisError, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const { endpoint } = this.#limits
      const lease = ConnectionPool.get(this.#pool, endpoint, { standing: true, site: "fiber" })
      const client = yield* Effect.mapError(lease, fromPool)
      const session: Session = { client, confirmations: new Map() }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          this.#session = session
          for (const subscribers of this.#channels.values()) {
            for (const subscriber of subscribers) this.#confirm(session, subscriber)
          }
        }),
        () =>
          Effect.sync(() => {
            this.#session = undefined
          })
      )
      const recalled = Effect.asVoid(ConnectionPool.recalled(this.#pool, client))
      return yield* Effect.raceAllFirst([recalled, this.#untilEmpty, this.#untilSilent(client)])
    })
  }

  readonly #untilEmpty: Effect.Effect<void> = Effect.callback((resume) => {
    const wake = () => resume(Effect.void)
    if (this.#channels.size === 0) return wake()
    this.#onEmpty = wake
    return Effect.sync(() => {
      this.#onEmpty = undefined
    })
  })

  /** Checks the connection at each `keepalive`, because a subscriber sends nothing that could reveal a dead connection. */
  #untilSilent(client: Client): Effect.Effect<void> {
    const { connectTimeout, keepalive } = this.#limits
    if (!Duration.isFinite(keepalive)) return Effect.never
    const answers = Effect.exit(timeoutOption(Effect.tryPromise(() => client.sendCommand(["PING"])), connectTimeout))
    const works = Effect.map(answers, (exit) => Exit.isSuccess(exit) && exit.value._tag === "Some")
    const next = Effect.andThen(sleepUnref(Duration.toMillis(keepalive)), works)
    return Effect.asVoid(Effect.repeat(next, { while: (works) => works }))
  }
}

/** Makes the subscriptions, which end with the scope. */
export const makeSubscriptions = (
  pool: ConnectionPool.ConnectionPool<Endpoint, Client>,
  limits: Limits
): Effect.Effect<Subscriptions, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fork = yield* FiberSet.makeRuntime<never, void, never>()
    return yield* Effect.acquireRelease(
      Effect.sync(() => new Subscriptions(pool, limits, fork)),
      ({ end }) => end
    )
  })
