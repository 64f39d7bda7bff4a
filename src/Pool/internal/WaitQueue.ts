/**
 * The borrowers that wait: their order, their deadlines, and how they are resumed or refused.
 *
 * @since 0.1.0
 */
import type { AgeClock } from "../../internal/AgeClock.ts"
import { Alarm } from "../../internal/Timer.ts"
import type { PoolError } from "../PoolError.ts"
import type { Environment, Lease, PoolEndpoint } from "./PoolState.ts"

/** The borrowers that wait: a queue for each endpoint, and the endpoints in the order of their turns. */
export class WaitQueue<K, A> {
  /** The endpoints with waiting borrowers, whose turn is next first. */
  readonly #turns = new Set<PoolEndpoint<K, A>>()
  readonly #resumeQueue: ResumeQueue<K, A>
  readonly #left: (lease: Lease<K, A>) => void

  /** `left` is called when one has left its queue. */
  constructor(resumeQueue: ResumeQueue<K, A>, left: (lease: Lease<K, A>) => void) {
    this.#resumeQueue = resumeQueue
    this.#left = left
  }

  get isEmpty(): boolean {
    return this.#turns.size === 0
  }

  /** The endpoints with waiting borrowers, whose turn is next first. */
  get turns(): ReadonlySet<PoolEndpoint<K, A>> {
    return this.#turns
  }

  /** Puts a borrow at the end of its queue, or at its front if it had its turn and was given something broken. */
  join(lease: Lease<K, A>, place: "Last" | "First"): void {
    lease.isWaiting = true
    if (lease.owner.queue.size === 0) this.#turns.add(lease.owner)
    if (place === "Last") lease.owner.queue.addLast(lease)
    else lease.owner.queue.addFirst(lease)
  }

  /** Takes a borrow out of its queue. One that is served or refused is resumed. */
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

  /** The endpoint had its turn. */
  rotate(endpoint: PoolEndpoint<K, A>): void {
    if (this.#turns.delete(endpoint)) this.#turns.add(endpoint)
  }

  /** Refuses all that wait for an endpoint. */
  refuseAllOf({ queue }: PoolEndpoint<K, A>, error: PoolError): void {
    for (let lease = queue.first; lease !== undefined; lease = queue.first) this.#refuse(lease, error)
  }

  /** Refuses all that wait for any endpoint. */
  refuseAll(errorFor: (endpoint: PoolEndpoint<K, A>) => PoolError): void {
    for (const endpoint of this.#turns) this.refuseAllOf(endpoint, errorFor(endpoint))
  }

  /** Refuses those whose deadlines have passed; returns the next one. `errors` is called once, if there are any. */
  refuseLate(now: number, errors: () => (lease: Lease<K, A>, position: number) => PoolError): number {
    const late: Array<{ readonly lease: Lease<K, A>; readonly position: number }> = []
    let next = Infinity
    for (const { queue } of this.#turns) {
      let lease = queue.first
      // In a queue, deadlines are in order.
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
    this.resume(lease, error)
  }
}

/** Bounds each borrow by one absolute deadline for waiting, opening and checking together. */
export class Deadlines<K, A> {
  readonly #clock: AgeClock
  readonly #acquireTimeout: number
  readonly #alarm: Alarm

  /** `expire` ends the borrows whose deadlines have passed, on the monotonic clock, and returns the next one. */
  constructor({ clock, fork, settings }: Environment<K, A>, expire: (now: number) => number) {
    this.#clock = clock
    this.#acquireTimeout = settings.acquireTimeout
    const now = () => clock.monotonic()
    this.#alarm = new Alarm({ clock: clock.clock, fork, now, onDue: () => expire(now()) })
  }

  /** A borrow waits from now on, and the process with it. */
  wait(lease: Lease<K, A>, now: number): void {
    this.#alarm.at(this.#of(lease, now))
    this.#alarm.hold(true)
  }

  /** No borrower waits any more. */
  release(): void {
    this.#alarm.hold(false)
  }

  /** What is left of a borrow's time, in milliseconds. */
  remaining(lease: Lease<K, A>): number {
    return Math.max(this.#of(lease, this.#clock.now()) - this.#clock.monotonic(), 0)
  }

  stop(): void {
    this.#alarm.stop()
  }

  /** The deadline is set once; going back to the queue does not arm it again. */
  #of(lease: Lease<K, A>, now: number): number {
    if (lease.deadline === Infinity) {
      // One that was given a connection at once, which turned out to be dead, has spent some of its time already.
      const spent = lease.borrowedAt >= 0 ? now - lease.borrowedAt : 0
      lease.deadline = this.#clock.monotonicAt(now) - spent + this.#acquireTimeout
    }
    return lease.deadline
  }
}

/** Borrowers that are continued in one turn before other work of the process gets one. */
const maxPerTurn = 256

/**
 * Continues borrowers in the order in which they were served: soon, but not in the step that served them, because a
 * continued borrower may run on for long and may come back to the pool while that step is half done.
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
      // The queue may grow while it is run.
      for (let next = this.#queue[turn]; next !== undefined && turn < maxPerTurn; next = this.#queue[turn]) {
        turn++
        const { resume } = next
        next.resume = undefined
        resume?.(undefined)
      }
    } finally {
      // An observer of a borrower's fiber may throw; the other borrowers go on all the same.
      if (turn === this.#queue.length) this.#queue.length = 0
      else this.#queue.splice(0, turn)
      if (this.#queue.length > 0) this.#runLater()
    }
  }

  /** A microtask would keep the event loop from ever turning; a fiber's scheduler lets it turn. */
  #runLater(): void {
    const scheduled = this.#queue.find(({ fiber }) => fiber !== undefined)?.fiber
    if (scheduled === undefined) queueMicrotask(this.#run)
    else scheduled.currentDispatcher.scheduleTask(this.#run, 0)
  }
}
