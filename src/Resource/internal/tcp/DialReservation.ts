/**
 * What a dial has to do with the gate of the monitor, if there is one in its context.
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
import type { Room } from "./ConnectAttempt.ts"

const unlimited: Room = { claim: Service.unreserved, end: () => {} }

/** Claims room for a further descriptor of one dial. It does not wait, and no room is no refusal that counts. */
export const moreRoomIn = (context: Context.Context<never>, endpoint: Endpoint) => (): Room | undefined => {
  const monitor = Context.getOption(context, ResourceMonitor)
  if (Option.isNone(monitor)) return unlimited
  const { unsafe } = monitor.value.reserve
  const now = Context.get(context, Clock.Clock).monotonicTimeNanosUnsafe()
  const claim = unsafe?.reserve({ label: labelOf(endpoint) }, now)
  return unsafe && claim && { claim, end: () => unsafe.end(claim) }
}

/** Takes the claim of an attempt that has passed the gate, if there is one with room for a dial. The result gives it back. */
const takeClaim = (claim: Service.Reservation): (() => void) | undefined =>
  claim === Service.unreserved ? undefined : claim.take === undefined ? () => {} : claim.take()

/**
 * Claims room for a dial before it begins, unless it is part of an attempt that has passed the gate already and that has no
 * other connection open or under way. The claim ends with the dial.
 */
export const admitted = <A, R>(
  endpoint: Endpoint,
  dial: Effect.Effect<A, TcpConnectionError, R>
): Effect.Effect<A, TcpConnectionError, R> =>
  Effect.contextWith((context: Context.Context<R>) => {
    const monitor = Context.getOption(context, ResourceMonitor)
    if (Option.isNone(monitor)) return dial
    const giveBack = takeClaim(Context.get(context, Service.CurrentReservation))
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
 * Puts a failure to connect down to this host, if no descriptor is free: then the look-up of a name fails as if there were
 * no such name.
 */
export const explained = (endpoint: Endpoint, error: TcpConnectionError): Effect.Effect<never, TcpConnectionError> =>
  Effect.flatMap(Effect.serviceOption(ResourceMonitor), (monitor) => {
    const { reason } = error
    if (reason._tag !== "DialFailed" || !reason.isRetryable || Option.isNone(monitor)) return Effect.fail(error)
    return Effect.flatMap(
      monitor.value.shortage({ label: labelOf(endpoint), cause: reason.cause }),
      (shortage) => Effect.fail(shortage === undefined ? error : dialFailed(endpoint, shortage))
    )
  })
