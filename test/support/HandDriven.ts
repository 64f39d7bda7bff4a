/**
 * A world that a test drives by hand: tasks run, and time passes, only when the test says so, and always in the same
 * order. It costs a few microseconds where `TestClock` needs turns of the event loop, so thousands of histories fit into
 * one test.
 */
import { Clock, Context, Duration, Effect, References, Scheduler } from "effect"

/** More tasks than that in one moment are a loop that never ends. */
const maxTasks = 100_000

export class HandDriven {
  now = 0
  /** Called whenever everything that could run at a moment has run. */
  onSettled: () => void = () => {}
  /** Called after each task: every fiber has paused then, or waits. */
  onTask: () => void = () => {}
  /** Fibers yield after so many operations: the fewer, the more interleavings. It holds for services that are asked for after it. */
  opsBeforeYield = 2048
  #tasks: Array<() => void> = []
  /** What is left of the tasks that run in one turn, one by one. */
  #turn: Array<() => void> = []
  readonly #sleepers: Array<{ readonly due: number; readonly wake: () => void }> = []

  /** Timers that wait. */
  get sleeping(): number {
    return this.#sleepers.length
  }

  /** The services that put a fiber into this world. It yields by Effect's own rule, so that the pool can foresee when. */
  services<R>(context: Context.Context<R>): Context.Context<R> {
    const makeDispatcher = (): Scheduler.SchedulerDispatcher => ({
      scheduleTask: (task) => void this.#tasks.push(task),
      flush: () => void this.#runTasks()
    })
    const scheduler = Object.assign(new Scheduler.MixedScheduler("async"), { makeDispatcher })
    return context.pipe(
      Context.add(Scheduler.Scheduler, scheduler),
      Context.add(Scheduler.MaxOpsBeforeYield, this.opsBeforeYield),
      Context.add(Clock.Clock, this.#clock()),
      // What is scripted to go wrong is no news.
      Context.add(References.MinimumLogLevel, "None")
    )
  }

  /** Runs the tasks that are there now, and those that they add, but nothing that runs in microtasks. */
  flush(): void {
    while (this.#runTasks() > 0);
  }

  /** Runs whatever can run without time passing. */
  async settle(): Promise<void> {
    let ran = 0
    // What runs in a microtask may ask for another one, so quiet is only what stays quiet for some turns.
    for (let quiet = 0; quiet < 4; quiet++) {
      const tasks = this.#runTasks()
      if (tasks > 0) quiet = 0
      ran += tasks
      if (ran > maxTasks) throw new Error("something runs for ever without time passing")
      await Promise.resolve()
    }
    this.onSettled()
  }

  /**
   * Runs one task, or what runs in microtasks when those of this turn have run, or lets time pass up to the next timer when
   * nothing else can run. `false` if there is nothing left at all.
   */
  async step(): Promise<boolean> {
    const task = this.#turn.shift()
    if (task !== undefined) {
      task()
      this.onTask()
      return true
    }
    for (let quiet = 0; quiet < 4 && this.#tasks.length === 0; quiet++) await Promise.resolve()
    this.#turn = this.#tasks
    this.#tasks = []
    return this.#turn.length > 0 || this.#wakeNext()
  }

  #wakeNext(): boolean {
    const next = this.#sleepers[0]
    if (next === undefined) return false
    this.now = next.due
    const due = this.#sleepers.findIndex((sleeper) => sleeper.due > this.now)
    for (const { wake } of this.#sleepers.splice(0, due < 0 ? this.#sleepers.length : due)) wake()
    return true
  }

  /** Runs what can run now, and then lets time pass, from one timer to the next. */
  async advance(millis: number): Promise<void> {
    const end = this.now + millis
    await this.settle()
    for (let next = this.#sleepers[0]; next !== undefined && next.due <= end; next = this.#sleepers[0]) {
      this.#wakeNext()
      await this.settle()
    }
    this.now = end
  }

  #runTasks(): number {
    const tasks = [...this.#turn, ...this.#tasks]
    this.#turn = []
    this.#tasks = []
    for (const task of tasks) {
      task()
      this.onTask()
    }
    return tasks.length
  }

  #sleep(millis: number): Effect.Effect<void> {
    if (millis <= 0) return Effect.void
    return Effect.callback<void>((resume) => {
      const sleeper = { due: this.now + millis, wake: () => resume(Effect.void) }
      const place = this.#sleepers.findIndex(({ due }) => due > sleeper.due)
      this.#sleepers.splice(place < 0 ? this.#sleepers.length : place, 0, sleeper)
      return Effect.sync(() => {
        const index = this.#sleepers.indexOf(sleeper)
        if (index >= 0) this.#sleepers.splice(index, 1)
      })
    })
  }

  #clock(): Clock.Clock {
    const millis = () => this.now
    const nanos = () => BigInt(this.now) * 1_000_000n
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) => this.#sleep(Duration.toMillis(duration))
    }
  }
}
