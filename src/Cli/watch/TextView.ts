/**
 * A look as text: a view of many lines, or one line.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { cut, printable } from "../../internal/Printable.ts"
import { type Resource, resources } from "../../Monitor/Alert.ts"
import type { Reading } from "../../Monitor/Reading.ts"
import type { Zombie } from "../../Monitor/readings/Children.ts"
import { gaugeShare, isAtLeast } from "../../Monitor/Usage.ts"
import type { Gauge } from "../../Monitor/Usage.ts"
import { bar } from "../Terminal.ts"
import { isoTime } from "./JsonReport.ts"
import type { Ending } from "./Loop.ts"
import type { Peer } from "./Sockets.ts"
import { nameOf } from "./Target.ts"
import type { Figure, Moment } from "./Trend.ts"

const mebibyte = 1024 * 1024

const mebibytes = (bytes: number): string => `${(bytes / mebibyte).toFixed(bytes < 10 * mebibyte ? 1 : 0)} MiB`

type Show = (value: number) => string

const units: Readonly<Record<Resource, Show>> = {
  descriptors: String,
  memory: mebibytes,
  connections: String
}

const reading = (reading: Reading, show: Show): string => {
  switch (reading._tag) {
    case "Known":
      return show(reading.value)
    case "Unlimited":
      return "no limit"
    case "Unknown":
      return `unknown (${reading.reason.toLowerCase()})`
    case "Saturated":
      return reading.code
  }
}

/** Rounds down, so that 100 % means that the limit is reached. */
const percent = (share: number): string => `${(Math.floor(share * 1000) / 10).toFixed(1)} %`

const shareOf = (gauge: Gauge): number | undefined => gauge.limit._tag === "Known" ? gaugeShare(gauge, 0) : undefined

const stock = (gauge: Gauge, show: Show): string => {
  const share = shareOf(gauge)
  const percentage = share === undefined || share === Infinity ? "" : ` (${percent(share)})`
  return gauge.limit._tag === "Unlimited"
    ? `${reading(gauge.used, show)}, no limit`
    : `${reading(gauge.used, show)} of ${reading(gauge.limit, show)}${percentage}`
}

const named = (count: Reading, name: string): string =>
  `${reading(count, String)} ${name}${count._tag === "Known" && count.value === 1 ? "" : "s"}`

const time = (seconds: number): string => Duration.format(Duration.seconds(Math.round(seconds)))

/** The growth of a figure; empty when it does not grow. */
const growth = ({ growth, level }: Figure, show: Show): string => {
  if (growth === undefined) return ""
  const rate = show === mebibytes ? mebibytes(growth.perSecond) : growth.perSecond.toFixed(1)
  // A rate that would be shown as 0 is not shown.
  if (!(Number.parseFloat(rate) > 0)) return ""
  const left = growth.secondsToLimit === undefined || level === "Exhausted"
    ? ""
    : `, at the limit in ${time(growth.secondsToLimit)}`
  return `, +${rate}/s${growth.isTrend ? "" : " lately"}${left}`
}

const counts = (all: ReadonlyMap<string, number>): string =>
  Array.from(all, ([name, count]) => `${count} ${name}`).join(", ")

type Row = readonly [title: string, text: string]

const figureRow = (title: Resource, moment: Moment): Row => {
  const figure = moment.figures[title]
  const share = shareOf(figure)
  const drawn = share === undefined ? "" : `[${bar(share)}] ${figure.level}  `
  return [title, `${drawn}${stock(figure, units[title])}${growth(figure, units[title])}`]
}

const memoryRows = (moment: Moment): ReadonlyArray<Row> => {
  const { figures, look: { container, memory } } = moment
  const isContainers = figures.memory.used.source === container.used.source
  return [
    figureRow("memory", moment),
    ...(isContainers ? [["", `of its container; ${reading(memory, mebibytes)} resident`] as const] : [])
  ]
}

const peer = ({ address, count, direction, port, states }: Peer): string =>
  `${String(count).padStart(6)}  ${direction} ${address}${port === undefined ? "" : ` at port ${port}`}: ${
    counts(states)
  }`

const some = <A>(title: string, all: ReadonlyArray<A>, most: number, show: (one: A) => string): ReadonlyArray<Row> => {
  const rows = all.slice(0, most).map((one, i) => [i === 0 ? title : "", show(one)] as const)
  return all.length > most ? [...rows, ["", `and ${all.length - most} more`]] : rows
}

const socketRows = ({ look: { descriptors: { sockets } } }: Moment, mostPeers: number): ReadonlyArray<Row> => {
  if (sockets === undefined) return [["sockets", "unknown"]]
  const { listening, other, peers, tcp, udp, unix } = sockets
  const others = [[udp, "UDP"], [unix, "Unix"], [other, "other"]] as const
  const kinds = others.flatMap(([count, kind]) => count > 0 ? [`${count} ${kind}`] : [])
  const all = [...(tcp.size > 0 ? [`TCP: ${counts(tcp)}`] : []), ...kinds].join("; ")
  return [
    ["sockets", all === "" ? "none" : all],
    ...(listening.length > 0 ? [["listens at", cut(listening.join(", "), 200)] as const] : []),
    ...some("peers", peers, mostPeers, peer)
  ]
}

const mostZombies = 3

const zombie = ({ age, command, pid }: Zombie): string =>
  `${pid} (${printable(command)}), begun ${time(age / 1000)} ago`

const zombieRows = ({ look: { processLimit, zombies } }: Moment): ReadonlyArray<Row> => {
  const remedy = zombies.all[0]?.remedy
  return [
    ["zombies", stock({ used: zombies.count, limit: processLimit }, String)],
    ...some("", zombies.all, mostZombies, zombie),
    ...(remedy === undefined ? [] : [["", `to prevent more: ${remedy}`] as const])
  ]
}

const title = ({ level, look: { at, stat } }: Moment): string => `${isoTime(at)}  ${nameOf(stat)}  ${level}`

/** The view. The last alerts are at its end. */
export const lines = (
  moment: Moment,
  options: { readonly mostPeers: number; readonly recent: ReadonlyArray<string> }
): ReadonlyArray<string> => {
  const { figures, look: { descriptors, stat } } = moment
  const kinds = counts(descriptors.kinds)
  const rows: ReadonlyArray<Row> = [
    figureRow("descriptors", moment),
    ...(kinds === "" ? [] : [["", kinds] as const]),
    ...memoryRows(moment),
    ...(figures.connections.limit._tag === "Unlimited" ? [] : [figureRow("connections", moment)]),
    ...socketRows(moment, options.mostPeers),
    ["threads", String(stat.threads)],
    ...zombieRows(moment),
    ...options.recent.map((text, i) => [i === 0 ? "alerts" : "", text] as const)
  ]
  return [title(moment), ...rows.map(([title, text]) => `${title.padEnd(13)}${text}`)]
}

/** The same look in one line. */
export const line = (moment: Moment): string => {
  const { figures, look: { descriptors: { kinds, sockets }, memory, zombies } } = moment
  const peer = sockets?.peers[0]
  const parts = [
    `${stock(figures.descriptors, String)} descriptors${growth(figures.descriptors, String)}`,
    counts(kinds),
    named(figures.connections.used, "connection"),
    sockets === undefined || sockets.tcp.size === 0 ? "" : `TCP ${counts(sockets.tcp)}`,
    peer === undefined ? "" : `most ${peer.direction} ${peer.address} (${peer.count})`,
    `${reading(memory, mebibytes)} resident${growth(figures.memory, mebibytes)}`,
    named(zombies.count, "zombie")
  ]
  return `${isoTime(moment.look.at)} ${moment.level}: ${parts.filter((part) => part !== "").join("; ")}`
}

/** The figures that are at the worst level. */
export const worst = ({ figures, level }: Moment): string =>
  resources
    .filter((resource) => isAtLeast(figures[resource].level, level))
    .map((resource) => `${resource} ${stock(figures[resource], units[resource])}`)
    .join(", ")

/** Why a watch has ended before the requested number of looks; `undefined` otherwise. */
export const farewell = ({ last, looks, reason }: Ending): string | undefined =>
  reason === "ProcessEnded"
    ? `${nameOf(last.look.stat)} has ended, ${last.level} at the last of ${looks} ${looks === 1 ? "look" : "looks"}`
    : undefined

const colours: Readonly<Record<string, string>> = {
  Normal: "\u001b[32m",
  Warning: "\u001b[33m",
  Critical: "\u001b[31m",
  Exhausted: "\u001b[1;31m"
}

/** A line of the view with its level in colour. */
export const coloured = (text: string): string =>
  text.replace(
    / (Normal|Warning|Critical|Exhausted)(?= {2}|$)/,
    (all, word: string) => `${colours[word] ?? ""}${all}\u001b[0m`
  )
