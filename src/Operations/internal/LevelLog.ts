/**
 * Logs each change of a monitor's level, once.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Alert } from "../../Monitor/Alert.ts"
import type { ResourceMonitor } from "../../Monitor/Service.ts"
import { type LogLine, writeLine } from "./LogLine.ts"

/** `Exhausted` is an error, because the gate refuses connections from then on. A figure that is better is no reason to act. */
const levelOf = (alert: Alert): LogLine["level"] =>
  alert._tag === "Recovered" ? "Info" : alert._tag === "Raised" && alert.level === "Exhausted" ? "Error" : "Warn"

const numbers = (figures: Readonly<Record<string, number | undefined>>): Record<string, number> =>
  Object.fromEntries(Object.entries(figures).filter((entry): entry is [string, number] => Number.isFinite(entry[1])))

const detailsOf = (alert: Alert): Record<string, string | number> =>
  alert._tag === "Forecast"
    ? { "sluice.seconds_to_limit": Math.round(alert.secondsToLimit) }
    : { "sluice.level.before": alert.from }

/** An alert as it is logged. */
export const logLineOf = (alert: Alert): LogLine => ({
  level: levelOf(alert),
  message: `ResourceMonitor: ${alert.message}`,
  annotations: {
    "sluice.resource": alert.resource,
    "sluice.level": alert.level,
    ...detailsOf(alert),
    ...numbers({ "sluice.used": alert.used, "sluice.limit": alert.limit, "sluice.reserved": alert.reserved })
  }
})

/** Logs the alerts of a monitor until the scope or the monitor ends. */
export const logLevels = ({ alerts }: ResourceMonitor["Service"]): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(
    Stream.runForEach(alerts, (alert) => writeLine(logLineOf(alert))),
    { startImmediately: true }
  ))
