/**
 * Drives `PoolCore` without a fiber through every state that a number of events can lead to, and through random histories of the same
 * events. What must be true of a pool is looked at in each state, and each state is brought to its end.
 */
import type { Lease, PooledConnection, PoolEndpoint } from "../../../src/Pool/internal/PoolState.ts"
import { seeded } from "../../support/random.ts"
import { statsFault, step } from "./PoolCoreInvariants.ts"
import { type Borrower, endings, type Event, format, keys, type Rules, World } from "./PoolCoreWorld.ts"

type Endpoint = PoolEndpoint<string, number>

// ---- events ------------------------------------------------------------------------------------------------------------

const isWaiting = ({ lease }: Borrower): boolean => lease?.isWaiting === true

/** What may happen next. Borrowers that do nothing are the same, so that only the first of them asks. */
export const eventsOf = (world: World): Array<Event> => [
  ...borrowerEvents(world),
  ...dialEvents(world),
  ...connectionEvents(world),
  ...borrowerChecks(world),
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
  [...dials.values()].flatMap(({ fiber, number: dial, state }): Array<Event> => {
    if (state === "Left behind") return [{ do: "end left dial", dial }]
    if (fiber.isInterrupted) return [{ do: "end dial", dial }]
    if (state === "At gate") return [{ do: "begin dial", dial }]
    return [
      { do: "open", dial },
      { do: "fail", dial },
      ...rules.leavesBehind ? [{ do: "leave dial", dial } as const] : []
    ]
  })

const connectionEvents = ({ connections, rules }: World): Array<Event> =>
  [...connections.values()].flatMap(({ number: connection, probe, state, watcher }): Array<Event> => {
    if (state === "Left behind") return [{ do: "close", connection }]
    if (state === "Closing") {
      return [{ do: "close", connection }, ...rules.leavesBehind ? [{ do: "leave close", connection } as const] : []]
    }
    const canDie = rules.deaths && watcher.pollUnsafe() === undefined
    return [
      ...canDie ? [{ do: "die", connection } as const] : [],
      ...probe === undefined ? [] : checkEvents(connection, true)
    ]
  })

const checkEvents = (connection: number, canPass: boolean): Array<Event> => [
  ...canPass ? [{ do: "pass check", connection } as const] : [],
  { do: "fail check", connection }
]

/** The check of a connection that has been closed under its borrower fails. */
const borrowerChecks = ({ borrowers, connections }: World): Array<Event> =>
  borrowers.flatMap(({ isChecking, lease }) => {
    const connection = isChecking ? lease?.connection?.value : undefined
    return connection === undefined ? [] : checkEvents(connection, connections.get(connection)?.state === "Open")
  })

const operatorEvents = ({ caps, endpoints, isDraining, rules, suspended }: World): Array<Event> => {
  if (!rules.operator) return []
  if (isDraining) return [{ do: "force" }]
  const { maxPerEndpoint = 2, maxTotal = 2 } = rules.options
  const isLowered = caps.maxTotal < maxTotal
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
    lease?.isWaiting === true && !(lease.owner.dialAt > world.now && world.nextDue <= Math.ceil(lease.owner.dialAt))
  )

/** What brings a world nearer to its end: all that has begun ends, time passes for those that wait, and then the pool is drained. */
const nextToEnd = (world: World): Event | undefined => {
  if (world.suspended !== "No" && !world.isDraining) return { do: "resume" }
  const ending = endingOf(world)
  if (ending !== undefined) return ending
  if (world.borrowers.some(isWaiting)) return { do: "pass time" }
  return world.isDraining ? undefined : { do: "drain" }
}

const most = 400

/**
 * Brings a world to its end: every borrower is served or refused, and everything is closed once. It is of no use after that. States in
 * `ended` are known to come to a right end, so that it stops there, and those that it has come through are added.
 */
export const finish = (world: World, ended?: Set<string>): string | undefined => {
  const fault = statsFault(world) ?? faultUpToEnd(world, ended)
  return fault === undefined ? undefined : `when all that has begun ends, ${fault}`
}

const faultUpToEnd = (world: World, ended?: Set<string>): string | undefined => {
  const states: Array<string> = []
  for (let round = 0; round < most; round++) {
    if (ended !== undefined) {
      const state = signatureOf(world)
      if (ended.has(state)) return addAll(ended, states)
      states.push(state)
    }
    const event = nextToEnd(world)
    if (event === undefined) return faultAtEnd(world) ?? (ended && addAll(ended, states))
    if (event.do === "pass time" && isStranded(world)) return "a borrower is left waiting"
    const fault = step(world, event)
    if (fault !== undefined) return fault
  }
  return "it does not come to an end"
}

const addAll = (set: Set<string>, values: ReadonlyArray<string>): undefined => {
  for (const value of values) set.add(value)
}

const faultAtEnd = (world: World): string | undefined => {
  const { borrowers, connections, core, dials, emptied, endpoints, timers } = world
  if (core.stats().total > 0 || endpoints.some(({ pool }) => pool !== undefined)) return "something is left open"
  if (connections.size + dials.size > 0) return "a connection or a dial is left"
  if (borrowers.some(({ lease }) => lease !== undefined)) return "a borrower is left"
  if (emptied !== 1) return `the pool said ${emptied} times that it is empty`
  core.shutDown()
  return timers.size > 0 ? "an alarm is left" : undefined
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
    check,
    fitness,
    idleSince,
    leases,
    openedAt,
    owner,
    provenAt,
    slot,
    state,
    trial
  } = connection
  const flags = [aliveIn < 0, slot.since < owner.failedAt, answers > 0].map(Number)
    .join("")
  const times = [state === "Idle" ? idleSince - world.now : 0, openedAt - world.now, provenAt - world.now].join()
  const probe = world.connections.get(connection.value)?.probe === undefined ? "" : "P"
  return `${state}${fitness}${check}${trial}${flags}${probe}@${times}(${leases.map(leaseText).join()})`
}

/** However long a dial has taken, the core goes by no more, in milliseconds. */
const longest = 1000

/** What the world has of an endpoint beside its connections. */
const pendingText = (world: World, endpoint: Endpoint): string => {
  const dials = [...world.dials.values()].filter(({ pending }) => pending.endpoint === endpoint)
    .map(({ fiber, pending: { isAbandoned, isRedundant, slot }, state }) =>
      [
        state,
        isAbandoned,
        isRedundant,
        fiber.isInterrupted,
        slot.generation === endpoint.generation,
        slot.since < endpoint.failedAt,
        Math.max(slot.since - world.now, -longest)
      ].join("")
    )
  const closing = [...world.connections.values()].filter(({ key, state }) => key === endpoint.key && state !== "Open")
    .map(({ state }) => state)
  return [...dials.sort(), ...closing.sort()].join()
}

const endpointText = (world: World, endpoint: Endpoint): string => {
  const { connections, detached, dialAt, dialState, doubt, series, setbacks } = endpoint
  const { failures, maxConcurrentDials, phase, unproven } = dialState
  return [
    waitingText(world, endpoint),
    ...connections.map((connection) => connectionText(world, connection)),
    pendingText(world, endpoint),
    ...[detached, Math.max(dialAt - world.now, 0), failures, maxConcurrentDials, phase, unproven, doubt],
    ...[series?.progress.runs, setbacks.suspicion, Math.max(setbacks.retryAt - world.now, 0)]
  ].join("|")
}

/** The same for states that only differ in which endpoint or borrower has what. What it leaves out is the order of turns. */
export const signatureOf = (world: World): string => {
  const { borrowers, caps, endpoints, isDraining, now, suspended, timers } = world
  const due = [...timers].map((timer) => timer.due - now).sort((left, right) => left - right)
  const lost = borrowers.map(({ lease }) => lease?.connection?.state === "Closing" ? leaseText(lease) : "").sort()
  return [
    ...[suspended, isDraining, caps.maxTotal, world.hasPaused, world.waitsForTurn, due.join(), lost.join()],
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
  const ended = new Set<string>()
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
        const left = finish(world, ended)
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

const anyEvent = (random: () => number, world: World): Event | undefined =>
  pick(random, eventsOf(world).filter((each) => random() < (rareness[each.do] ?? 1)))

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
    withEffect: seed % 10 === 0,
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
    const event = anyEvent(random, world)
    if (event === undefined) continue
    path.push(event)
    const fault = step(world, event)
    if (fault !== undefined) return { fault, path, rules }
  }
  const fault = finish(world)
  return fault === undefined ? undefined : { fault, path, rules }
}

/** The state of a world, and the connections that its pools have available, in their order. */
const stateOf = (world: World): string =>
  [signatureOf(world), ...world.endpoints.map(({ pool }) => [...pool?.available() ?? []].map(connectionIn).join())]
    .join("#")

const connectionIn = ({ connection }: { readonly connection: { readonly value: number } | undefined }) =>
  connection?.value

/** Runs the history of a seed with plain pools and with Effect's; the result is what leads to another state with those. */
export const firstDifference = (seed: number, length = 30): string | undefined => {
  const random = seeded(seed)
  const rules = randomRules(seed, random)
  const worlds = [new World({ ...rules, withEffect: false }), new World({ ...rules, withEffect: true })] as const
  const path: Array<Event> = []
  for (let left = length; left > 0; left--) {
    const event = anyEvent(random, worlds[0])
    if (event === undefined) continue
    path.push(event)
    for (const world of worlds) world.do(event)
    const [plain, effects] = [stateOf(worlds[0]), stateOf(worlds[1])]
    if (plain !== effects) return `${effects} and not ${plain}: ${path.map(format).join(", ")}`
  }
  return undefined
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
