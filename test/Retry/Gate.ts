/**
 * A gate with a settable amount of room, which counts what is claimed.
 */
import { Effect, Layer } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"

export interface Gate {
  /** Descriptors that may be claimed at once. */
  room: number
  /** Descriptors claimed now. */
  reserved: number
  /** Every request, granted or not. */
  readonly requests: Array<ResourceMonitor.ReserveRequest>
  readonly layer: Layer.Layer<ResourceMonitor.ResourceMonitor>
}

const refusal = (gate: Gate, label: string, requested: number): ResourceMonitor.ResourceExhausted =>
  new ResourceMonitor.ResourceExhausted({
    label,
    resource: "descriptors",
    used: 0,
    reserved: gate.reserved,
    requested,
    limit: gate.room,
    headroom: 0,
    level: "Exhausted"
  })

export const make = (room = Infinity): Gate => {
  const gate: Gate = {
    room,
    reserved: 0,
    requests: [],
    layer: Layer.suspend(() => layer)
  }
  const claim = (request: ResourceMonitor.ReserveRequest, count: number) =>
    Effect.suspend(() => {
      gate.requests.push(request)
      if (gate.reserved + count > gate.room || gate.room === 0) return Effect.fail(refusal(gate, request.label, count))
      gate.reserved += count
      return Effect.void
    })
  // It refuses at once, however long a request may wait. Members that the retry has no business with are left out: using
  // one is a defect.
  const layer = Layer.mock(ResourceMonitor.ResourceMonitor, {
    reserve: (request) => {
      const count = request.descriptors ?? 1
      return Effect.acquireRelease(
        Effect.as(claim(request, count), { descriptorOpened: () => () => {} }),
        () => Effect.sync(() => (gate.reserved -= count))
      )
    },
    shortage: () => Effect.undefined,
    observeGate: () => () => {}
  })
  return gate
}
