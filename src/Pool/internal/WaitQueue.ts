/**
 * The waiting borrowers: their order, their deadlines, and how they are resumed or refused.
 *
 * @since 0.1.0
 */
import type { AgeClock } from "../../internal/AgeClock.ts"
import { Alarm } from "../../internal/Timer.ts"
import type { PoolError } from "../PoolError.ts"
import type { Environment, Lease, PoolEndpoint } from "./PoolState.ts"

/** The waiting borrowers: a queue for each endpoint, and the endpoints in the order of their turns. */
export class WaitQueue<K, A> {
  /** The endpoints with waiting borrowers. The first is the next to be served. */
  readonly #turns = new Set<PoolEndpoint<K, A>>()
  readonly #resumeQueue: ResumeQueue<K, A>
  readonly #left: (lease: Lease<K, A>) => void
  readonly #refused: (error: PoolError) => void

  /** `left` is called when a borrow has left its queue, and is resumed. `refused` is called when it fails. */
  constructor(
    resumeQueue: ResumeQueue<K, A>,
    left: (lease: Lease<K, A>) => void,
    refused: (error: PoolError) => void
  ) {
    this.#resumeQueue = resumeQueue
    this.#left = left
    this.#refused = refused
  }

  get isEmpty(): boolean {
    return this.#turns.size === 0
  }

  /** The endpoints with waiting borrowers. The first is the next to be served. */
  get turns(): ReadonlySet<PoolEndpoint<K, A>> {
    return this.#turns
  }

  /** Adds a borrow at the end of its queue, or at the front if its connection turned out to be broken. */
  join(lease: Lease<K, A>, place: "Last" | "First"): void {
    lease.isWaiting = true
    if (lease.owner.queue.size === 0) this.#turns.add(lease.owner)
    if (place === "Last") lease.owner.queue.addLast(lease)
    else lease.owner.queue.addFirst(lease)
  }

  /** Removes a borrow from its queue. A borrow that was served or refused has to be resumed by {@link resume} after this. */
  leave(lease: Lease<K, A>): void {
    lease.isWaiting = false
    lease.owner.queue.remove(lease)
    if (lease.owner.queue.size === 0) this.#turns.delete(lease.owner)
  }

  /** Resumes a borrow that has left its queue: with its connection, or with this failure. */
  resume(lease: Lease<K, A>, failure?: PoolError): void {
    this.#resumeQueue.add(lease, failure)
    this.#left(lease)
  }

  /** Makes an endpoint the last to be served. */
  rotate(endpoint: PoolEndpoint<K, A>): void {
    if (this.#turns.delete(endpoint)) this.#turns.add(endpoint)
  }

  /** Fails all borrowers that wait for an endpoint. */
  refuseAllOf({ queue }: PoolEndpoint<K, A>, error: PoolError): void {
    for (let lease = queue.first; lease !== undefined; lease = queue.first) this.#refuse(lease, error)
  }

  /** Fails all waiting borrowers. */
  refuseAll(errorFor: (endpoint: PoolEndpoint<K, A>) => PoolError): void {
    for (const endpoint of this.#turns) this.refuseAllOf(endpoint, errorFor(endpoint))
  }

  /**
   * Fails the borrowers whose deadlines have passed, and returns the next deadline. `errors` is called once if there are such
   * borrowers.
   */
  refuseLate(now: number, errors: () => (lease: Lease<K, A>, position: number) => PoolError): number {
    const late: Array<{ readonly lease: Lease<K, A>; readonly position: number }> = []
    let next = Infinity
    for (const { queue } of this.#turns) {
      let lease = queue.first
      // A queue is ordered by deadline.
      for (let position = 1; lease !== undefined && lease.deadline <= now; lease = lease.behind) {
        late.push({ lease, position: position++ })
      }
      if (lease !== undefined) next = Math.min(next, lease.deadline)
    }
    if (late.length === 0) return next
    const errorFor = errors()
    for (const { lease, position } of late) this.#refuse(lease, errorFor(lease, position))
    return next
  }

  #refuse(lease: Lease<K, A>, error: PoolError): void {
    this.leave(lease)
    this.#refused(error)
    this.resume(lease, error)
  }
}

/** Limits each borrow by one deadline for waiting, opening and checking together. */
export class Deadlines<K, A> {
  readonly #clock: AgeClock
  readonly #acquireTimeout: number
  readonly #alarm: Alarm

  /** `expire` fails the borrowers whose deadlines have passed on the monotonic clock, and returns the next deadline. */
  constructor({ clock, fork, settings }: Environment<K, A>, expire: (now: number) => number) {
    this.#clock = clock
    this.#acquireTimeout = settings.acquireTimeout
    const now = () => clock.monotonic()
    this.#alarm = new Alarm({ clock: clock.clock, fork, now, onDue: () => expire(now()) })
  }

  /** A borrow begins to wait. While borrows wait, the process does not end. */
  wait(lease: Lease<K, A>, now: number): void {
    this.#alarm.at(this.#of(lease, now))
    this.#alarm.hold(true)
  }

  /** No borrower waits any more. */
  release(): void {
    this.#alarm.hold(false)
  }

  /** The remaining time of a borrow, in milliseconds. */
  remaining(lease: Lease<K, A>): number {
    return Math.max(this.#of(lease, this.#clock.now()) - this.#clock.monotonic(), 0)
  }

  stop(): void {
    this.#alarm.stop()
  }

  /** The deadline of a borrow. It is set at the first wait, and stays when the borrow returns to its queue. */
  #of(lease: Lease<K, A>, now: number): number {
    if (lease.deadline === Infinity) {
      // A borrow that got a connection at once has used some of its time before the connection turned out to be dead.
      const spent = lease.borrowedAt >= 0 ? now - lease.borrowedAt : 0
      lease.deadline = this.#clock.monotonicAt(now) - spent + this.#acquireTimeout
    }
    return lease.deadline
  }
}

/** The most borrowers that are resumed in one turn, before other work of the process. */
const maxPerTurn = 256

/**
 * Resumes borrowers in the order in which they were served. This happens after the step that served them: a resumed borrower may
 * run for long and may call the pool, which must not happen inside of a step.
 */
export class ResumeQueue<K, A> {
  readonly #queue: Array<Lease<K, A>> = []
  readonly #run = (): void => this.#continue()

  add(lease: Lease<K, A>, failure: PoolError | undefined): void {
    const { resume } = lease
    if (failure !== undefined && resume !== undefined) lease.resume = () => resume(failure)
    this.#queue.push(lease)
    if (this.#queue.length === 1) queueMicrotask(this.#run)
  }

  #continue(): void {
    let turn = 0
    try {
      // The queue may grow during the loop.
      for (let next = this.#queue[turn]; next !== undefined && turn < maxPerTurn; next = this.#queue[turn]) {
        turn++
        const { resume } = next
        next.resume = undefined
        resume?.(undefined)
      }
    } finally {
      // An observer of a borrower's fiber may throw. The other borrowers are resumed nevertheless.
      if (turn === this.#queue.length) this.#queue.length = 0
      else this.#queue.splice(0, turn)
      if (this.#queue.length > 0) this.#runLater()
    }
  }

  /** Continues in a task of a fiber's scheduler, which lets the event loop turn. Microtasks alone would not. */
  #runLater(): void {
    const scheduled = this.#queue.find(({ fiber }) => fiber !== undefined)?.fiber
    if (scheduled === undefined) queueMicrotask(this.#run)
    else scheduled.currentDispatcher.scheduleTask(this.#run, 0)
  }
}
