/**
 * Readiness, and the resources of the process against their limits.
 */
import type { Snapshot } from "../../../Snapshot.ts"
import { bar, sparkline } from "./Charts.ts"
import { byId, element, list, outsideText, setHidden, setText, type View } from "./Dom.ts"
import type { Monitor, Resource } from "./Findings.ts"
import { count, duration, figure, plural } from "./Format.ts"

interface ShownResource {
  readonly resource: Resource
  readonly history: ReadonlyArray<number | null>
  readonly length: number
}

const usedText = ({ limit, unit, used }: Resource): string => {
  const now = used === undefined ? "unknown" : figure(used, unit)
  return limit === undefined ? now : `${now} of ${figure(limit, unit)}`
}

const share = ({ limit, used }: Resource): string =>
  limit === undefined || used === undefined || limit === 0 ? "" : `${Math.round(used / limit * 100)} %`

const resourceView = (): View<ShownResource> => {
  const [name, level, used, percent] = [
    element("h3"),
    element("span", "chip"),
    element("p", "big"),
    element("span", "share")
  ]
  const note = outsideText("quiet")
  const amount = bar(["active", "connecting"])
  let unit: Resource["unit"] = "count"
  const history = sparkline((value) => figure(value, unit))
  const reserved = element("p", "quiet")
  const root = element(
    "li",
    "card level",
    element("div", "line", name, level),
    used,
    amount.root,
    reserved,
    note.root,
    history.root
  )
  used.append(element("span"), " ", percent)
  return {
    root,
    update: ({ history: values, length, resource }) => {
      unit = resource.unit
      setText(name, resource.resource)
      setText(level, resource.level)
      level.className = `chip ${resource.level}`
      if (used.firstElementChild !== null) setText(used.firstElementChild, usedText(resource))
      setText(percent, share(resource))
      const known = values.filter((value) => value !== null)
      const top = resource.limit ?? Math.max(1, ...known) * 1.25
      // Of what has no limit a bar would say nothing.
      amount.root.classList.toggle("absent", resource.limit === undefined || resource.used === undefined)
      amount.update({
        parts: [{ name: "active", value: resource.used ?? 0 }, { name: "connecting", value: resource.reserved }],
        cap: resource.limit ?? 1
      })
      setText(reserved, resource.reserved === 0 ? "" : `${figure(resource.reserved, resource.unit)} reserved for dials`)
      note.update(resource.note ?? "")
      setHidden(note.root, resource.note === undefined)
      history.update({ values, length, top, label: `${resource.resource} of the last minutes` })
    }
  }
}

const factsOf = ({ eventLoop, gate, zombies }: Monitor): ReadonlyArray<readonly [string, string]> => [
  ["Event loop delay", eventLoop.lag === undefined ? "unknown" : duration(eventLoop.lag)],
  [
    "Event loop stalls",
    eventLoop.stalls === 0 ? "none" : `${count(eventLoop.stalls)}, the longest ${duration(eventLoop.longestStall)}`
  ],
  ["Dials waiting for room", count(gate.waiting)],
  ["Dials refused at the gate", count(Object.values(gate.refusals).reduce((sum, value) => sum + value, 0))],
  ["Zombie processes", zombies === undefined ? "unknown" : count(zombies)]
]

/** Terms and their values, as a list of definitions. */
export const facts = (parent: Element): (items: ReadonlyArray<readonly [string, string]>) => void =>
  list<readonly [string, string]>(parent, ([term]) => term, () => {
    const [term, value] = [element("dt"), element("dd")]
    return {
      root: element("div", "", term, value),
      update: ([name, text]) => {
        setText(term, name)
        setText(value, text)
      }
    }
  })

type Reason = Snapshot["readiness"]["reasons"][number]

const reasonView = (): View<Reason> => {
  const [reason, message] = [element("strong"), outsideText()]
  return {
    root: element("li", "", reason, " ", message.root),
    update: (shown) => {
      setText(reason, shown.reason)
      message.update(shown.message)
    }
  }
}

const readiness = () => {
  const [chip, reasons] = [byId("readiness"), byId("reasons")]
  const show = list<Reason>(reasons, ({ endpoint, pool, reason }) => `${reason} ${pool} ${endpoint}`, reasonView)
  return ({ isReady, reasons: shown }: Snapshot["readiness"]) => {
    setText(chip, isReady ? "Ready" : "Not ready")
    chip.className = `chip ${isReady ? "Ready" : "NotReady"}`
    show(shown)
    setHidden(reasons, shown.length === 0)
  }
}

/** Shows the part of the page that concerns the process. */
export const make = () => {
  const section = byId("process")
  const showReadiness = readiness()
  const showResources = list<ShownResource>(byId("resources"), ({ resource }) => resource.resource, resourceView)
  const showFacts = facts(byId("facts"))
  return ({ history, monitor, process, readiness }: Snapshot): void => {
    showReadiness(readiness)
    setText(
      byId("program"),
      `Process ${process.pid}, up ${duration(process.uptime)}, ${process.runtime}, effect-sluice ${process.library}`
    )
    setHidden(section, monitor === undefined)
    if (monitor === undefined) return
    setText(byId("level"), monitor.level)
    byId("level").className = `chip ${monitor.level}`
    showResources(monitor.resources.map((resource) => ({
      resource,
      history: history.resources[resource.resource] ?? [],
      length: history.length
    })))
    setText(byId("span"), `Lines: the last ${plural(Math.round(history.length * history.interval / 60_000), "minute")}`)
    showFacts(factsOf(monitor))
  }
}
