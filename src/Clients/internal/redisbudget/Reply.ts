/**
 * The answers of the scripts, as values.
 *
 * @since 0.1.0
 */

/**
 * What a request for a permit is answered, with the limit that applies. A fence is the number of a permit: it is greater than those of all earlier ones.
 * That of `Waiting` is the last one that was given.
 */
export type Reply =
  & (
    | { readonly _tag: "Granted"; readonly lease: number; readonly fence: number; readonly token: string }
    | { readonly _tag: "Waiting"; readonly position: number; readonly delay: number; readonly fence: number }
    | { readonly _tag: "Refused" }
    | { readonly _tag: "Conflict" }
  )
  & { readonly limit: number }

/** Tokens are long numbers; in base 36 they leave more of the 63 bytes of a session's name. */
const tokenOf = (fence: string): string => Number(fence).toString(36)

/** Reads the answer of the script `acquire`. The time of the server that it has is for tests of the scripts: no process relies on that clock. */
export const replyOf = (answer: ReadonlyArray<string | number>): Reply => {
  const [tag, _time, ...rest] = answer
  const limit = Number(rest.at(-1))
  const [one, two, three] = rest
  switch (tag) {
    case "granted":
      return { _tag: "Granted", lease: Number(one), fence: Number(two), token: tokenOf(String(two)), limit }
    case "waiting":
      return { _tag: "Waiting", position: Number(one), delay: Number(two), fence: Number(three), limit }
    case "refused":
      return { _tag: "Refused", limit }
    default:
      return { _tag: "Conflict", limit }
  }
}

/** A message that a process gets on its channel. */
export interface Told {
  readonly id: string
  readonly reply: Reply
}

/** Reads a message: "id granted time lease fence limit", or "id refused limit". */
export const toldOf = (message: string): Told | undefined => {
  const [id, tag, ...rest] = message.split(" ")
  if (id === undefined || (tag !== "granted" && tag !== "refused")) return undefined
  // Any client of the store can publish. A message of another shape says nothing, and the request asks again by itself.
  if (rest.length !== (tag === "granted" ? 4 : 1) || !rest.every((field) => /^\d+$/.test(field))) return undefined
  const reply = tag === "refused" ? replyOf([tag, 0, ...rest]) : replyOf([tag, ...rest])
  return { id, reply }
}

/**
 * A permit at the store.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Holder {
  readonly id: string
  /** The process, by its holder id. */
  readonly process: string
  /** The endpoint of the connection. */
  readonly label: string
  readonly weight: number
  /** As it is in the name of the session at the server. */
  readonly token: string
  /** Milliseconds since the permit was given. */
  readonly heldFor: number
  /** Milliseconds until the lease ends, unless it is renewed. At most 0 if it has ended, and no request has come since. */
  readonly expiresIn: number
}

/**
 * A request that waits for a permit.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Waiter {
  readonly id: string
  readonly process: string
  readonly label: string
  readonly weight: number
}

/**
 * The state of a budget at its store.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Snapshot {
  readonly limit: number
  /** Whether an operator has set the limit. Otherwise it is the `connections` of the process that asks. */
  readonly isLimitSet: boolean
  /** The permits that are held, by their weights. */
  readonly used: number
  readonly held: number
  readonly waiting: number
  /** The holders, those first whose lease ends first; at most 1000. */
  readonly holders: ReadonlyArray<Holder>
  /** Those that wait, in their order; at most 1000. */
  readonly waiters: ReadonlyArray<Waiter>
}

type Row = readonly [id: string, record: string, expiry: string]

const holderOf = (now: number) => ([id, record, expiry]: Row): Holder => {
  const [weight, fence, since, process, ...label] = record.split(" ")
  return {
    id,
    process: process ?? "",
    label: label.join(" "),
    weight: Number(weight),
    token: tokenOf(fence ?? ""),
    heldFor: now - Number(since),
    expiresIn: Number(expiry) - now
  }
}

const waiterOf = ([id, record]: Row): Waiter => {
  const [weight, _lease, _seen, process, _channel, ...label] = record.split(" ")
  return { id, process: process ?? "", label: label.join(" "), weight: Number(weight) }
}

/** The answer of the script `inspect`. */
export type InspectAnswer = readonly [
  now: number,
  limit: number,
  isLimitSet: number,
  used: number,
  held: number,
  waiting: number,
  holders: ReadonlyArray<Row>,
  waiters: ReadonlyArray<Row>
]

/** Reads the answer of the script `inspect`. */
export const snapshotOf = (answer: InspectAnswer): Snapshot => {
  const [now, limit, isLimitSet, used, held, waiting, holders, waiters] = answer
  return {
    limit,
    isLimitSet: isLimitSet === 1,
    used,
    held,
    waiting,
    holders: holders.map(holderOf(now)),
    waiters: waiters.map(waiterOf)
  }
}
