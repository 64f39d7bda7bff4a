/**
 * Drives `PoolCore` without a fiber through every state that a number of events can lead to, and through random histories of the same
 * events. What must be true of a pool is looked at in each state, and each state is brought to its end.
 */
import { Effect, Pool } from "effect"
import type { Lease, PooledConnection, PoolEndpoint } from "../../../src/Pool/internal/PoolState.ts"
import { seeded } from "../../support/random.ts"
import { type Borrower, endings, type Event, format, keys, type Rules, World } from "./PoolCoreWorld.ts"

type Endpoint = PoolEndpoint<string, number>

// ---- events ------------------------------------------------------------------------------------------------------------

const isWaiting = ({ lease }: Borrower): boolean => lease?.state === "Waiting"

/** What may happen next. Borrowers that do nothing are the same, so that only the first of them asks. */
export const eventsOf = (world: World): Array<Event> => [
  ...borrowerEvents(world),
  ...dialEvents(world),
  ...connectionEvents(world),
  ...world.timers.size > 0 ? [{ do: "pass time" } as const] : [],
  ...world.waitsForTurn ? [{ do: "turn loop" } as const] : [],
  ...world.rules.pauses && world.hasPaused ? [{ do: "go on" } as const] : [],
  ...operatorEvents(world)
]

const borrowerEvents = ({ borrowers, isDraining }: World): Array<Event> => {
  const canAsk = !isDraining && borrowers.some(({ lease }) => lease === undefined)
  const asks = canAsk ? keys.map((key): Event => ({ do: "ask", key })) : []
  return [
    ...asks,
    ...borrowers.filter(({ lease }) => lease !== undefined).flatMap(({ lease, number }) =>
      (lease?.isInUse === true ? endings : ["Interruption"] as const)
        .map((how): Event => ({ do: "end", borrower: number, how }))
    )
  ]
}

const dialEvents = ({ dials, rules }: World): Array<Event> =>
  dials.flatMap(({ fiber, number: dial, state }): Array<Event> => {
    if (state === "Over") return []
    if (state === "Left behind") return [{ do: "end left dial", dial }]
    if (fiber.isInterrupted) return [{ do: "end dial", dial }]
    if (state === "At gate") return [{ do: "begin dial", dial }]
    return [
      { do: "open", dial },
      { do: "fail", dial },
      ...rules.leavesBehind ? [{ do: "leave dial", dial } as const] : []
    ]
  })

const connectionEvents = ({ borrowers, connections, rules }: World): Array<Event> =>
  [...connections.values()].flatMap(({ number: connection, probe, state, watcher }): Array<Event> => {
    const hasChecker = borrowers.some(({ isChecking, lease }) => isChecking && lease?.connection?.value === connection)
    // The check of a connection that has been closed under its borrower fails.
    const failing = hasChecker ? [{ do: "fail check", connection } as const] : []
    if (state === "Closed") return failing
    if (state === "Left behind") return [{ do: "close", connection }, ...failing]
    if (state === "Closing") {
      const leaving = rules.leavesBehind ? [{ do: "leave close", connection } as const] : []
      return [{ do: "close", connection }, ...leaving, ...failing]
    }
    const canDie = rules.deaths && watcher.pollUnsafe() === undefined
    const isChecked = probe !== undefined || hasChecker
    return [
      ...canDie ? [{ do: "die", connection } as const] : [],
      ...isChecked ? [{ do: "pass check", connection } as const, { do: "fail check", connection } as const] : []
    ]
  })

const operatorEvents = ({ endpoints, isDraining, rules, settings, suspended }: World): Array<Event> => {
  if (!rules.operator) return []
  if (isDraining) return [{ do: "force" }]
  const { maxPerEndpoint = 2, maxTotal = 2 } = rules.options
  const isLowered = settings.maxTotal < maxTotal
  return [
    ...endpoints.filter(({ connecting, connections }) => connecting + connections.length > 0)
      .map(({ key }): Event => ({ do: "evict", key })),
    ...suspended === "No" ? [{ do: "suspend" } as const, { do: "refuse" } as const] : [{ do: "resume" } as const],
    isLowered
      ? { do: "resize", maxPerEndpoint, maxTotal }
      : { do: "resize", maxPerEndpoint: 1, maxTotal: 1 },
    { do: "drain" }
  ]
}

// ---- what must be true ---------------------------------------------------------------------------------------------------

interface Counts {
  readonly connecting: number
  readonly kept: number
  readonly open: number
  readonly closing: number
  readonly waiting: number
}

const slotsIn = ({ closing, connecting, kept, open }: Counts): number => closing + connecting + kept + open

/** What there is of an endpoint, by what the world knows of dials, connections and borrowers. */
const countsOf = ({ borrowers, connections, dials }: World, key: string): Counts => {
  const own = [...connections.values()].filter((connection) => connection.key === key)
  const ownDials = dials.filter(({ pending }) => pending.endpoint.key === key)
  return {
    connecting: ownDials.filter(({ state }) => state === "At gate" || state === "Dialing").length,
    kept: ownDials.filter(({ state }) => state === "Left behind").length,
    open: own.filter(({ state }) => state === "Open").length,
    closing: own.filter(({ state }) => state === "Closing").length,
    waiting: borrowers.filter(({ lease }) => lease?.state === "Waiting" && lease.owner.key === key).length
  }
}

interface Before {
  readonly slots: ReadonlyMap<string, number>
  readonly total: number
  readonly leases: ReadonlyMap<Lease<string, number>, string>
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((all, each) => all + each, 0)

const beforeOf = (world: World): Before => {
  const slots = new Map(keys.map((key) => [key, slotsIn(countsOf(world, key))]))
  const leases = new Map<Lease<string, number>, string>()
  for (const { lease } of world.borrowers) if (lease !== undefined) leases.set(lease, lease.state)
  return { slots, total: sum(slots.values()), leases }
}

/** Caps bound what is opened. What was open when they were lowered may stay. */
const capFault = (world: World, before: Before): string | undefined => {
  const { maxPerEndpoint, maxTotal } = world.settings
  const slots = keys.map((key) => slotsIn(countsOf(world, key)))
  if (sum(slots) > Math.max(maxTotal, before.total)) return `${sum(slots)} slots of ${maxTotal}`
  for (const [index, key] of keys.entries()) {
    const own = slots[index] ?? 0
    if (own > Math.max(maxPerEndpoint, before.slots.get(key) ?? 0)) {
      return `${own} slots of ${maxPerEndpoint} for one endpoint`
    }
  }
  return undefined
}

/** Each slot is counted from its dial until the socket is gone, and is freed once. */
const countFault = (world: World): string | undefined => {
  const stats = world.core.stats()
  for (const key of keys) {
    const counts = countsOf(world, key)
    const own = stats.endpoints.get(key)
    const expected = [slotsIn(counts), counts.open, counts.connecting, counts.closing + counts.kept, counts.waiting]
      .join()
    const found = own === undefined
      ? "0,0,0,0,0"
      : [own.total, own.active + own.idle, own.connecting, own.closing, own.waiting].join()
    if (expected !== found) {
      return `slots, open, connecting, closing, waiting: ${expected} in the world, ${found} in the core`
    }
  }
  return undefined
}

const leasesOf = (world: World): Array<Lease<string, number>> =>
  world.borrowers.flatMap(({ lease }) => lease === undefined ? [] : [lease])

/** Borrowers of an endpoint are served in the order in which they came. */
const orderFault = (world: World, before: Before): string | undefined => {
  const leases = leasesOf(world)
  for (const lease of leases) {
    if (lease.state !== "Holding" || before.leases.get(lease) === "Holding") continue
    const isOvertaken = (other: Lease<string, number>) =>
      other.state === "Waiting" && other.owner === lease.owner && other.arrival < lease.arrival
    if (leases.some(isOvertaken)) return "a borrower is served before one that came earlier"
  }
  return undefined
}

/** Each lease has a connection of its own endpoint, with no more borrowers than may share it. */
const leaseFault = (world: World): string | undefined => {
  for (const { connections, key } of world.endpoints) {
    for (const { leases, value } of connections) {
      if (world.connections.get(value)?.key !== key) return "a connection is kept for another endpoint"
      if (leases.length > world.settings.concurrency) return "a connection has too many borrowers"
    }
  }
  for (const lease of leasesOf(world)) {
    const { connection, owner, state } = lease
    if ((state === "Holding") !== (connection !== undefined)) {
      return `a lease is ${state}, with its connection or without`
    }
    if (connection !== undefined && !connection.leases.includes(lease)) return "a connection does not know its borrower"
    if (connection !== undefined && connection.owner !== owner) return "a borrower has a connection of another endpoint"
  }
  return undefined
}

/** No borrower waits while it could be served, or while a dial for it could begin. */
const idleFault = (world: World): string | undefined => {
  const { endpoints, settings } = world
  if (world.suspended !== "No" || world.isDraining) return undefined
  const all = endpoints.map((endpoint) => ({ endpoint, counts: countsOf(world, endpoint.key) }))
  const total = sum(all.map(({ counts }) => slotsIn(counts)))
  const closing = sum(all.map(({ counts }) => counts.closing))
  for (const { counts, endpoint } of all) {
    const { connecting, waiting } = counts
    if (waiting === 0) continue
    if (endpoint.idle > 0) return "a borrower waits beside an idle connection"
    const isServed = connecting + endpoint.proving > 0 && settings.concurrency > 1
    const mayDial = waiting > connecting && !isServed && connecting < endpoint.dialState.maxConcurrentDials &&
      world.now >= endpoint.dialAt && slotsIn(counts) < settings.maxPerEndpoint
    if (mayDial && total < settings.maxTotal) return "a borrower waits although it may dial"
    const hasVictim = endpoints.some((other) => other !== endpoint && other.idle > 0)
    if (mayDial && closing === 0 && hasVictim) {
      return "a borrower waits although an idle connection may be evicted for it"
    }
  }
  return undefined
}

/** How many leases of Effect's Pool a connection takes. */
const takenOf = (world: World, { leases, value }: PooledConnection<string, number>): number =>
  Math.max(leases.length, world.connections.get(value)?.probe === undefined ? 0 : 1)

/** Effect's Pool of an endpoint counts what the core counts, and has the idle connections available. */
const effectFault = (world: World): string | undefined => {
  for (const endpoint of world.endpoints) {
    const { connecting, connections, idle, pool } = endpoint
    const count = connecting + connections.length
    if (pool === undefined) {
      if (count > 0) return "an endpoint has no Pool of Effect's"
      continue
    }
    const stats = Effect.runSync(Pool.stats(pool.pool))
    const [found, expected] = [[stats.idle, stats.used, stats.pending], [idle, count - idle, 0]]
    if (found.join() !== expected.join()) {
      return `idle, used, pending: ${found.join()} in Effect's Pool, ${expected.join()} in the core`
    }
    for (const connection of connections) {
      const { slot: { item } } = connection
      if (item.connection !== connection || item.leases !== takenOf(world, connection)) {
        return "Effect's Pool has not leased what the core has"
      }
    }
  }
  return undefined
}

const faultIn = (world: World, before: Before): string | undefined =>
  world.faults[0] ?? capFault(world, before) ?? countFault(world) ?? leaseFault(world) ?? orderFault(world, before) ??
    idleFault(world) ?? effectFault(world)

/** Runs one event; the result says what it has shown to be wrong. */
export const step = (world: World, event: Event): string | undefined => {
  const before = beforeOf(world)
  try {
    world.do(event)
  } catch (error) {
    return `it has thrown: ${String(error)}`
  }
  return faultIn(world, before)
}

// ---- the end -------------------------------------------------------------------------------------------------------------

const endsPending = new Set<Event["do"]>(
  [
    "go on",
    "turn loop",
    "begin dial",
    "open",
    "end dial",
    "end left dial",
    "close",
    "pass check",
    "fail check",
    "resume"
  ]
)

/** The next event that ends something: a command, or a borrower that has its connection. */
const endingOf = (world: World): Event | undefined => {
  const events = eventsOf(world)
  return events.find((event) => endsPending.has(event.do)) ??
    events.find((event) => event.do === "end" && event.how === "Success")
}

/** When nothing but time is left, a borrower may wait for the next dial of its endpoint alone, which an alarm has to be set for. */
const isStranded = (world: World): boolean =>
  world.borrowers.some(({ lease }) =>
    lease?.state === "Waiting" && !(lease.owner.dialAt > world.now && world.nextDue <= Math.ceil(lease.owner.dialAt))
  )

const most = 200

/** Ends all that has begun, until no borrower is left. */
const settle = (world: World): string | undefined => {
  if (world.suspended !== "No" && !world.isDraining) {
    const fault = step(world, { do: "resume" })
    if (fault !== undefined) return fault
  }
  for (let round = 0; round < most; round++) {
    const ending = endingOf(world)
    if (ending === undefined && !world.borrowers.some(isWaiting)) return undefined
    if (ending === undefined && isStranded(world)) return "a borrower is left waiting"
    const fault = step(world, ending ?? { do: "pass time" })
    if (fault !== undefined) return fault
  }
  return "it does not come to an end"
}

/** Brings a world to its end: every borrower is served or refused, and everything is closed once. It is of no use after that. */
export const finish = (world: World): string | undefined => {
  const fault = faultAtEnd(world)
  return fault === undefined ? undefined : `when all that has begun ends, ${fault}`
}

const faultAtEnd = (world: World): string | undefined => {
  const fault = settle(world) ?? (world.isDraining ? undefined : step(world, { do: "drain" })) ?? settle(world)
  if (fault !== undefined) return fault
  if (world.core.stats().total > 0 || world.endpoints.some(({ pool }) => pool !== undefined)) {
    return "something is left open"
  }
  if ([...world.connections.values()].some(({ closes, state }) => closes !== 1 || state !== "Closed")) {
    return "a connection is not closed"
  }
  if (world.borrowers.some(({ lease }) => lease !== undefined)) return "a borrower is left"
  if (world.emptied !== 1) return `the pool said ${world.emptied} times that it is empty`
  world.core.shutDown()
  return world.timers.size > 0 ? "an alarm is left" : undefined
}

// ---- states --------------------------------------------------------------------------------------------------------------

const leaseText = ({ isInUse, mustCheck, turn }: Lease<string, number>): string => `${isInUse}${mustCheck}${turn}`

const waitingText = (world: World, { queue }: Endpoint): string => {
  const texts: Array<string> = []
  for (let lease = queue.first; lease !== undefined; lease = lease.behind) {
    texts.push(`${lease.deadline - world.now}/${lease.waitingSince - world.now}`)
  }
  return texts.join()
}

const connectionText = (world: World, connection: PooledConnection<string, number>): string => {
  const {
    aliveIn,
    answers,
    fitness,
    idleSince,
    leases,
    onTrial,
    openedAt,
    owner,
    proving,
    provenAt,
    slot,
    state
  } = connection
  const flags = [proving, onTrial, aliveIn < 0, slot.since < owner.failedAt, answers > 0].map(Number)
    .join("")
  const times = [state === "Idle" ? idleSince - world.now : 0, openedAt - world.now, provenAt - world.now].join()
  const probe = world.connections.get(connection.value)?.probe === undefined ? "" : "P"
  return `${state}${fitness}${flags}${probe}@${times}(${leases.map(leaseText).join()})`
}

/** What the world has of an endpoint beside its connections. */
const pendingText = (world: World, endpoint: Endpoint): string => {
  const dials = world.dials.filter(({ pending, state }) => pending.endpoint === endpoint && state !== "Over")
    .map(({ fiber, pending: { isAbandoned, isRedundant, slot }, state }) =>
      [
        state,
        isAbandoned,
        isRedundant,
        fiber.isInterrupted,
        slot.generation === endpoint.generation,
        slot.since - world.now
      ].join("")
    )
  const closing = [...world.connections.values()].filter(({ key, state }) =>
    key === endpoint.key && (state === "Closing" || state === "Left behind")
  ).map(({ state }) => state)
  return [...dials.sort(), ...closing.sort()].join()
}

const endpointText = (world: World, endpoint: Endpoint): string => {
  const { connections, detached, dialAt, dialState, doubt, failedAt, series, setbacks } = endpoint
  const { failures, maxConcurrentDials, phase, unproven } = dialState
  return [
    waitingText(world, endpoint),
    ...connections.map((connection) => connectionText(world, connection)),
    pendingText(world, endpoint),
    ...[detached, Math.max(dialAt - world.now, 0), failures, maxConcurrentDials, phase, unproven, doubt],
    ...[failedAt - world.now, series?.progress.runs, setbacks.suspicion, Math.max(setbacks.retryAt - world.now, 0)]
  ].join("|")
}

/** The same for states that only differ in which endpoint or borrower has what. What it leaves out is the order of turns. */
export const signatureOf = (world: World): string => {
  const { endpoints, isDraining, now, settings, suspended, timers } = world
  const due = [...timers].map((timer) => timer.due - now).sort((left, right) => left - right)
  const lost = leasesOf(world).filter(({ connection }) => connection?.state === "Closing").map(leaseText)
  return [
    ...[suspended, isDraining, settings.maxTotal, world.hasPaused, world.waitsForTurn, due.join(), lost.join()],
    ...endpoints.map((endpoint) => endpointText(world, endpoint)).sort()
  ].join("#")
}

// ---- exploring -----------------------------------------------------------------------------------------------------------

export interface Found {
  readonly fault: string
  readonly path: ReadonlyArray<Event>
}

export const formatFound = ({ fault, path }: Found): string => `${fault}: ${path.map(format).join(", ")}`

export interface Explored {
  readonly states: number
  readonly steps: number
  readonly depth: number
  /** What is wrong, after the fewest events that show it. */
  readonly found: Found | undefined
}

const replay = (rules: Rules, path: ReadonlyArray<Event>): World => {
  const world = new World(rules)
  for (const event of path) world.do(event)
  return world
}

/** Explores every state that so many events lead to, breadth first. A state is reached by replaying its events from the start. */
export const explore = (rules: Rules, depth: number): Explored => {
  const seen = new Set<string>()
  let frontier: ReadonlyArray<{ readonly path: ReadonlyArray<Event>; readonly events: ReadonlyArray<Event> }> = [
    { path: [], events: eventsOf(new World(rules)) }
  ]
  let steps = 0
  for (let level = 1; level <= depth; level++) {
    const next: Array<{ readonly path: ReadonlyArray<Event>; readonly events: ReadonlyArray<Event> }> = []
    for (const { events, path } of frontier) {
      for (const event of events) {
        steps++
        const longer = [...path, event]
        const world = replay(rules, path)
        const fault = step(world, event)
        if (fault !== undefined) return { states: seen.size, steps, depth: level, found: { fault, path: longer } }
        const signature = signatureOf(world)
        if (seen.has(signature)) continue
        seen.add(signature)
        next.push({ path: longer, events: eventsOf(world) })
        const left = finish(world)
        if (left !== undefined) return { states: seen.size, steps, depth: level, found: { fault: left, path: longer } }
      }
    }
    frontier = next
  }
  return { states: seen.size, steps, depth, found: undefined }
}

// ---- random histories ------------------------------------------------------------------------------------------------------

/** Some kinds of events would leave a pool with nothing to do soon. */
const rareness: Partial<Record<Event["do"], number>> = {
  drain: 0.02,
  force: 0.2,
  "fail check": 0.3,
  "leave dial": 0.2,
  "leave close": 0.2,
  suspend: 0.2,
  refuse: 0.1,
  resize: 0.2,
  evict: 0.3,
  die: 0.5,
  "pass time": 0.5
}

const pick = <T>(random: () => number, list: ReadonlyArray<T>): T | undefined =>
  list[Math.floor(random() * list.length)]

const some = (random: () => number): boolean => random() < 0.5

const randomRules = (seed: number, random: () => number): Rules => {
  const checks = some(random)
  const maxPerEndpoint = 1 + Math.floor(random() * 2)
  return {
    options: {
      maxPerEndpoint,
      maxTotal: maxPerEndpoint + Math.floor(random() * 2),
      concurrency: 1 + Math.floor(random() * 2),
      minPerEndpoint: random() < 0.2 ? 1 : 0,
      idleTimeout: pick(random, [30, 300, 5000]) ?? 30,
      checkAfterIdle: pick(random, [0, 50, 500]) ?? 0,
      whenUnavailable: random() < 0.2 ? "fail" : "wait",
      ...random() < 0.2 ? { maxWaiters: 1 } : {},
      ...checks && some(random) ? { keepalive: 40 } : {}
    },
    hasGate: some(random),
    pauses: some(random),
    deaths: some(random),
    checks,
    leavesBehind: some(random),
    operator: some(random),
    seed
  }
}

/** Runs the history of a seed up to its end; the result is what is wrong. */
export const runHistory = (seed: number, length = 30): (Found & { readonly rules: Rules }) | undefined => {
  const random = seeded(seed)
  const rules = randomRules(seed, random)
  const world = new World(rules)
  const path: Array<Event> = []
  for (let left = length; left > 0; left--) {
    const event = pick(random, eventsOf(world).filter((each) => random() < (rareness[each.do] ?? 1)))
    if (event === undefined) continue
    path.push(event)
    const fault = step(world, event)
    if (fault !== undefined) return { fault, path, rules }
  }
  const fault = finish(world)
  return fault === undefined ? undefined : { fault, path, rules }
}

/** Leaves out what a fault does not need. */
export const shorten = (rules: Rules, found: Found): Found => {
  let shortest = found
  for (let index = found.path.length - 1; index >= 0; index--) {
    const path = shortest.path.filter((_, each) => each !== index)
    const fault = tryFault(rules, path)
    if (fault === shortest.fault) shortest = { fault, path }
  }
  return shortest
}

/** Without an event that was left out, others may not be possible. */
const tryFault = (rules: Rules, path: ReadonlyArray<Event>): string | undefined => {
  const world = new World(rules)
  for (const event of path) {
    if (!eventsOf(world).some((each) => format(each) === format(event))) return undefined
    const fault = step(world, event)
    if (fault !== undefined) return fault
  }
  return finish(world)
}
