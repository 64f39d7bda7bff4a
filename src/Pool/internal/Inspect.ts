/**
 * What a pool shows to an operator, computed when it is asked for.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { attributesIn } from "../../internal/Requester.ts"
import { safeText } from "../../internal/SafeText.ts"
import type { InspectedEndpoint, InspectedHolder, Inspection } from "../PoolInspection.ts"
import type { Health } from "../PoolStats.ts"
import { countsOf, spanOf } from "./Diagnostics.ts"
import { addressOf } from "./KeyAddress.ts"
import type { Lease, PoolEndpoint } from "./PoolState.ts"

/** What the core knows of an endpoint besides its record. */
export interface Inspected<K, A> {
  readonly name: string
  readonly endpoints: ReadonlyArray<PoolEndpoint<K, A>>
  readonly now: number
  readonly healthOf: (endpoint: PoolEndpoint<K, A>) => Health
}

const badness: Record<Health, number> = { Unavailable: 2, Degraded: 1, Healthy: 0 }

const oldestWaitOf = <K, A>({ queue }: PoolEndpoint<K, A>, now: number): number | undefined =>
  queue.first === undefined ? undefined : now - queue.first.waitingSince

const durationOf = (millis: number | undefined): Duration.Duration | undefined =>
  millis === undefined ? undefined : Duration.millis(Math.max(Math.round(millis), 0))

const endpointOf = <K, A>(endpoint: PoolEndpoint<K, A>, health: Health, now: number): InspectedEndpoint => ({
  label: endpoint.label,
  address: addressOf(endpoint.key),
  health,
  counts: countsOf(endpoint),
  failedAttempts: endpoint.failedAttempts,
  timeouts: endpoint.timeouts,
  impairedFor: durationOf(endpoint.impairedSince === undefined ? undefined : now - endpoint.impairedSince),
  lastFailure: endpoint.trouble === undefined
    ? undefined
    : { cause: endpoint.trouble.cause, age: Duration.millis(Math.max(Math.round(now - endpoint.trouble.at), 0)) },
  nextDialIn: endpoint.dialAt > now ? Duration.millis(endpoint.dialAt - now) : undefined,
  oldestWait: durationOf(oldestWaitOf(endpoint, now))
})

/** Numbers of leases are given when they are first shown, so that a borrow does not pay for them. */
const numbers = new WeakMap<object, number>()
let lastNumber = 0

export const numberOf = <K, A>(lease: Lease<K, A>): number => {
  const known = numbers.get(lease) ?? ++lastNumber
  numbers.set(lease, known)
  return known
}

const holderOf = <K, A>(lease: Lease<K, A>, now: number): InspectedHolder => ({
  id: numberOf(lease),
  endpoint: lease.owner.label,
  span: spanOf(lease),
  attributes: attributesIn(lease.context),
  site: lease.site?.text === undefined ? undefined : safeText(lease.site.text),
  age: Duration.millis(Math.round(now - lease.borrowedAt)),
  isStanding: lease.isStanding
})

/** Keeps the first items by an order, at most a number of them, without sorting all others. */
class First<T> {
  readonly all: Array<T> = []
  readonly #most: number
  readonly #compare: (one: T, other: T) => number

  constructor(most: number, compare: (one: T, other: T) => number) {
    this.#most = most
    this.#compare = compare
  }

  add(item: T): void {
    const { all } = this
    const last = all.at(-1)
    if (all.length >= this.#most && (last === undefined || this.#compare(item, last) >= 0)) return
    let index = all.length
    for (let before = all[index - 1]; before !== undefined; before = all[index - 1]) {
      if (this.#compare(item, before) >= 0) break
      index--
    }
    all.splice(index, 0, item)
    if (all.length > this.#most) all.pop()
  }
}

interface Judged<K, A> {
  readonly endpoint: PoolEndpoint<K, A>
  readonly health: Health
}

const worstFirst = <K, A>(one: Judged<K, A>, other: Judged<K, A>): number =>
  badness[other.health] - badness[one.health] || other.endpoint.queue.size - one.endpoint.queue.size ||
  other.endpoint.connections.length - one.endpoint.connections.length

const oldestFirst = <K, A>(one: Lease<K, A>, other: Lease<K, A>): number =>
  Number(one.isStanding) - Number(other.isStanding) || one.borrowedAt - other.borrowedAt

/** Shows at most `most` endpoints and at most `most` holders. It looks once at each endpoint and each connection. */
export const inspectionOf = <K, A>({ endpoints, healthOf, name, now }: Inspected<K, A>, most: number): Inspection => {
  const endpointsByHealth = { Healthy: 0, Degraded: 0, Unavailable: 0 }
  const worst = new First<Judged<K, A>>(most, worstFirst)
  // One more than none, because the oldest lease is shown in any case.
  const holders = new First<Lease<K, A>>(Math.max(most, 1), oldestFirst)
  let oldestWait: number | undefined
  for (const endpoint of endpoints) {
    const health = healthOf(endpoint)
    endpointsByHealth[health]++
    worst.add({ endpoint, health })
    for (const { leases } of endpoint.connections) for (const lease of leases) holders.add(lease)
    const wait = oldestWaitOf(endpoint, now)
    if (wait !== undefined) oldestWait = Math.max(wait, oldestWait ?? 0)
  }
  const [oldest] = holders.all
  return {
    name,
    endpointsByHealth,
    endpoints: worst.all.map(({ endpoint, health }) => endpointOf(endpoint, health, now)),
    holders: holders.all.slice(0, most).map((lease) => holderOf(lease, now)),
    oldestWait: durationOf(oldestWait),
    oldestLease: oldest === undefined || oldest.isStanding ? undefined : durationOf(now - oldest.borrowedAt)
  }
}
