/** Watching within the test's own process. */
import { Duration, Effect } from "effect"
import * as Loop from "../../../src/Cli/watch/Loop.ts"
import type { Moment } from "../../../src/Cli/watch/Trend.ts"
import { rulesOf } from "../../../src/Monitor/levels/Levels.ts"
import { defaults } from "../../../src/Monitor/Options.ts"

export const settings = (pid: number, given: Partial<Loop.Settings> = {}): Loop.Settings => ({
  pid,
  interval: Duration.millis(100),
  count: 1,
  limits: { maxDescriptors: Infinity, maxMemory: Infinity, maxConnections: Infinity, rules: rulesOf(defaults) },
  ...given
})

/** Watches, and returns each look. `act` runs after each. */
export const watch = (given: Loop.Settings, act: (moment: Moment) => Effect.Effect<void> = () => Effect.void) =>
  Effect.gen(function*() {
    const moments: Array<Moment> = []
    const show = (moment: Moment) =>
      Effect.suspend(() => {
        moments.push(moment)
        return Effect.as(act(moment), true)
      })
    const ending = yield* Loop.run(given, show)
    return { moments, ending }
  })
