/**
 * Reserves descriptors for a dial at the monitor's gate, if there is a monitor in the context.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { labelOf } from "../../../internal/SafeText.ts"
import * as Service from "../../../Monitor/Service.ts"
import { ResourceMonitor } from "../../../Monitor/Service.ts"
import type { Endpoint } from "../../Endpoint.ts"
import { dialFailed, type TcpConnectionError } from "../../TcpConnectionError.ts"
import type { SocketReservation } from "./ConnectAttempt.ts"

const unlimited: SocketReservation = { claim: Service.unreserved, end: () => {} }

/**
 * Reserves a further descriptor for a dial, without waiting. A refusal is not counted, because the dial continues without that
 * descriptor.
 */
export const reserveMoreIn =
  (context: Context.Context<never>, endpoint: Endpoint) => (): SocketReservation | undefined => {
    const monitor = Context.getOption(context, ResourceMonitor)
    if (Option.isNone(monitor)) return unlimited
    const { unsafe } = monitor.value.reserve
    const now = Context.get(context, Clock.Clock).monotonicTimeNanosUnsafe()
    const claim = unsafe?.reserve({ label: labelOf(endpoint) }, now)
    return unsafe && claim && { claim, end: () => unsafe.end(claim) }
  }

/** Takes the reservation of the retry attempt around the dial, if no other dial uses it. The result returns it. */
const takeReservation = (claim: Service.Reservation): (() => void) | undefined =>
  claim === Service.unreserved ? undefined : claim.take === undefined ? () => {} : claim.take()

/**
 * Reserves a descriptor for a dial. If the dial is in a retry attempt whose reservation is not used yet, it uses that one. The
 * reservation ends with the dial.
 */
export const withReservation = <A, R>(
  endpoint: Endpoint,
  dial: Effect.Effect<A, TcpConnectionError, R>
): Effect.Effect<A, TcpConnectionError, R> =>
  Effect.contextWith((context: Context.Context<R>) => {
    const monitor = Context.getOption(context, ResourceMonitor)
    if (Option.isNone(monitor)) return dial
    const giveBack = takeReservation(Context.get(context, Service.CurrentReservation))
    if (giveBack !== undefined) return Effect.ensuring(dial, Effect.sync(giveBack))
    const reserve = monitor.value.reserve({ label: labelOf(endpoint) })
    return Effect.acquireUseRelease(
      Scope.make(),
      (room) =>
        Effect.flatMap(
          Effect.mapError(Scope.provide(reserve, room), (cause) => dialFailed(endpoint, cause)),
          (claim) => Effect.provideService(dial, Service.CurrentReservation, claim)
        ),
      Scope.close
    )
  })

/**
 * Gives a failed dial the cause `ResourceExhausted` if no descriptor is free on this host. Without that, a failed look-up would
 * seem to show that the name does not exist.
 */
export const explainFailure = (
  endpoint: Endpoint,
  error: TcpConnectionError
): Effect.Effect<never, TcpConnectionError> =>
  Effect.flatMap(Effect.serviceOption(ResourceMonitor), (monitor) => {
    const { reason } = error
    if (reason._tag !== "DialFailed" || !reason.isRetryable || Option.isNone(monitor)) return Effect.fail(error)
    return Effect.flatMap(
      monitor.value.shortage({ label: labelOf(endpoint), cause: reason.cause }),
      (shortage) => Effect.fail(shortage === undefined ? error : dialFailed(endpoint, shortage))
    )
  })
