/**
 * The terminal of `sluice top`: its other screen, its size and its keys.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { write } from "../Output.ts"
import * as Status from "./Status.ts"

const output = process.stdout

/** The other screen, without a cursor and without wrapped lines. What was on the terminal before is there again at the end. */
const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J"
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l"

/** Whether the output has a reader. */
export const isRead = Effect.sync(() => output.writable && output.errored === null)

/** A terminal that does not say how large it is. */
const usual: Status.Size = { columns: 80, rows: 24 }

const now = Effect.map(Clock.Clock, monotonicMillis)

/** Shows the view. */
export interface Screen {
  readonly show: (status: Status.Status) => Effect.Effect<void>
  /** Completes when the operator ends the command by a key. */
  readonly quit: Effect.Effect<void>
}

const draw = (status: Status.Status, size: Status.Size): Effect.Effect<void> =>
  Effect.flatMap(now, (at) => {
    const columns = size.columns || usual.columns
    const rows = size.rows || usual.rows
    // `hasColors` respects NO_COLOR.
    return write(output, Status.frameOf(Status.screenOf(status, at, { columns, rows }), output.hasColors()))
  })

/** In raw mode the terminal sends no signal for Ctrl-C. The command ends as after the signal. */
const interruptSelf = Effect.sync(() => void process.kill(process.pid, "SIGINT"))

/** Completes after `q`, Escape or Ctrl-D. Without a terminal as standard input there are no keys. */
const quitBy = (terminal: Terminal.Terminal): Effect.Effect<void> =>
  Effect.scoped(Effect.gen(function*() {
    if (!process.stdin.isTTY) return yield* Effect.never
    const keys = yield* terminal.readInput
    while (true) {
      const { key } = yield* Queue.take(keys)
      if (key.ctrl && key.name === "c") {
        yield* interruptSelf
        return yield* Effect.never
      }
      if (key.name === "q") return
    }
  })).pipe(Effect.ignore)

/** Takes the terminal until the scope ends. A change of its size redraws the last view. */
export const make: Effect.Effect<Screen, never, Scope.Scope | Terminal.Terminal> = Effect.gen(function*() {
  const terminal = yield* Terminal.Terminal
  const last = yield* Ref.make<Status.Status | undefined>(undefined)
  yield* Effect.acquireRelease(write(output, enter), () => write(output, leave))
  const sizes = yield* terminal.size
  const redraw = (size: Status.Size) =>
    Effect.flatMap(Ref.get(last), (status) => status === undefined ? Effect.void : draw(status, size))
  yield* Effect.forkScoped(Stream.runForEach(Stream.fromQueue(sizes), redraw))
  return {
    show: (status) => Effect.andThen(Ref.set(last, status), Effect.suspend(() => draw(status, output))),
    quit: quitBy(terminal)
  }
})
