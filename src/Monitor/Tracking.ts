/**
 * The open connections of a monitor.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { scopeHooks } from "../internal/ScopeHooks.ts"
import * as Ledger from "./Ledger.ts"
import { CurrentReservation } from "./Service.ts"
import type { Reservation, Track, Tracked, TrackRequest } from "./Service.ts"

/** A connection in a ledger. There may be very many, so it is one object with only the fields that are needed at its end. */
class TrackedConnection implements Tracked {
  readonly #ledger: Ledger.Ledger
  readonly #closed: () => void
  readonly #reservation: Ledger.LedgerReservation | undefined
  #entry: Ledger.Entry | undefined

  constructor(ledger: Ledger.Ledger, closed: () => void, { label, site }: TrackRequest, reservation: Reservation) {
    this.#ledger = ledger
    this.#closed = closed
    this.#entry = Ledger.recordOpen(ledger, label, site)
    this.#reservation = reservation instanceof Ledger.LedgerReservation && reservation.connectionRecorded(ledger)
      ? reservation
      : undefined
  }

  end(): void {
    if (this.#entry === undefined) return
    this.#reservation?.connectionGone()
    Ledger.recordClosed(this.#ledger, this.#entry)
    this.#entry = undefined
    this.#closed()
  }
}

/** Records connections in a ledger. `closed` is called after each connection that has left it. */
export const trackOf = (ledger: Ledger.Ledger, closed: () => void): Track => {
  const unsafe = (request: TrackRequest, reservation: Reservation) =>
    new TrackedConnection(ledger, closed, request, reservation)
  const track = (request: TrackRequest) =>
    Effect.flatMap(CurrentReservation, (reservation) => {
      let tracked: Tracked
      return scopeHooks(() => tracked = unsafe(request, reservation), () => tracked.end())
    })
  return Object.assign(track, { unsafe })
}
