/**
 * A watch as JSON. A figure that could not be read is `null`, never 0.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import { resources } from "../../Monitor/Alert.ts"
import type { Reading } from "../../Monitor/Reading.ts"
import type { Ending } from "./Loop.ts"
import type { Sockets } from "./Sockets.ts"
import type { Figure, Moment } from "./Trend.ts"

/** A time in ISO 8601. */
export const isoTime = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

const number = (reading: Reading): number | "unlimited" | null =>
  reading._tag === "Known" ? reading.value : reading._tag === "Unlimited" ? "unlimited" : null

const thousandths = (value: number): number => Math.round(value * 1000) / 1000

const figureOf = ({ growth, level, limit, used }: Figure) => {
  const share = used._tag === "Known" && limit._tag === "Known" && limit.value > 0
    ? used.value / limit.value
    : undefined
  return {
    used: number(used),
    limit: number(limit),
    share: share === undefined ? null : thousandths(share),
    level,
    perSecond: growth === undefined ? null : thousandths(growth.perSecond),
    isTrend: growth?.isTrend ?? false,
    secondsToLimit: growth?.secondsToLimit === undefined ? null : thousandths(growth.secondsToLimit)
  }
}

const socketsOf = ({ connections, listening, other, peers, tcp, udp, unix }: Sockets, most: number) => ({
  connections,
  tcp: Object.fromEntries(tcp),
  udp,
  unix,
  other,
  listening,
  peers: peers.slice(0, most).map(({ states, ...peer }) => ({ ...peer, states: Object.fromEntries(states) }))
})

const unknownOf = ({ figures, look }: Moment): Readonly<Record<string, string>> => {
  const readings: ReadonlyArray<readonly [string, Reading]> = [
    ...resources.map((resource) => [resource, figures[resource].used] as const),
    ["descriptorLimit", look.descriptorLimit],
    ["container", look.container.limit],
    ["zombies", look.zombies.count],
    ["processLimit", look.processLimit]
  ]
  return Object.fromEntries(
    readings.flatMap(([name, reading]) =>
      reading._tag === "Unknown" ? [[name, `${reading.reason}: ${reading.source}`]] : []
    )
  )
}

/** One look. At most `mostPeers` peers are listed. */
export const lookOf = (moment: Moment, mostPeers: number): object => {
  const { alerts, figures, level, look } = moment
  const { container, descriptors, stat, zombies } = look
  return {
    type: "look",
    at: isoTime(look.at),
    pid: stat.pid,
    command: stat.command,
    level,
    descriptors: { ...figureOf(figures.descriptors), kinds: Object.fromEntries(descriptors.kinds) },
    memory: {
      ...figureOf(figures.memory),
      resident: number(look.memory),
      container: { used: number(container.used), limit: number(container.limit) }
    },
    connections: figureOf(figures.connections),
    sockets: descriptors.sockets === undefined ? null : socketsOf(descriptors.sockets, mostPeers),
    threads: stat.threads,
    zombies: {
      count: number(zombies.count),
      all: zombies.all.map((zombie) => ({ ...zombie, age: Math.round(zombie.age) }))
    },
    processLimit: number(look.processLimit),
    alerts: alerts.map(({ message }) => message),
    unknown: unknownOf(moment)
  }
}

/** The last line. */
export const endOf = ({ last, looks, reason, at }: Ending): object => ({
  type: "end",
  at: isoTime(at),
  pid: last.look.stat.pid,
  reason,
  level: last.level,
  looks
})
