/**
 * One pool: its connections against the cap, who waits, its endpoints, its counters, and what an operator may do with it.
 */
import type { Snapshot } from "../../../Snapshot.ts"
import { bar, type Part, sparkline } from "./Charts.ts"
import type { Action } from "./Controls.ts"
import { button, element, outsideText, setAttribute, setHidden, setText, shortened, table, type View } from "./Dom.ts"
import { attemptsText, type Endpoint, type Pool } from "./Findings.ts"
import { count, duration, plural, time, words } from "./Format.ts"
import { facts } from "./Levels.ts"

type History = Snapshot["history"]["pools"][string]

/** A pool with what of the snapshot it needs. */
export interface ShownPool {
  readonly pool: Pool
  readonly now: number
  readonly history: History | undefined
  readonly length: number
}

/** Asks for the confirmation of an action. */
export type Ask = (action: Action) => void

const states = ["active", "idle", "connecting", "closing"] as const

/** A connect that was left behind keeps its slot, so it is shown with those that close. */
const partsOf = ({ counts, maxTotal }: Pool): ReadonlyArray<Part> => {
  const closing = counts.closing + counts.leftBehind
  const used = counts.active + counts.idle + counts.connecting + closing
  return [
    { name: "active", value: counts.active },
    { name: "idle", value: counts.idle },
    { name: "connecting", value: counts.connecting },
    { name: "closing", value: closing },
    { name: "free", value: Math.max(0, maxTotal - used) }
  ]
}

const connections = (): View<Pool> => {
  const chart = bar(states)
  const numbers = new Map([...states, "free"].map((name) => [name, element("b")]))
  const cap = element("span", "cap")
  const items = Array.from(
    numbers,
    ([name, number]) => element("li", "", element("span", `swatch ${name}`), number, ` ${name}`)
  )
  const legend = element("ul", "legend", ...items)
  return {
    root: element("div", "connections", element("div", "line", legend, cap), chart.root),
    update: (pool) => {
      const parts = partsOf(pool)
      for (const { name, value } of parts) {
        const number = numbers.get(name)
        if (number !== undefined) setText(number, count(value))
      }
      setText(cap, `at most ${count(pool.maxTotal)}, ${count(pool.maxPerEndpoint)} for an endpoint`)
      chart.update({ parts: parts.filter(({ name }) => name !== "free"), cap: pool.maxTotal })
    }
  }
}

const figureView = (
  label: string
): { readonly root: HTMLElement; readonly set: (text: string, isTrouble: boolean) => void } => {
  const value = element("b")
  const root = element("li", "", value, ` ${label}`)
  return {
    root,
    set: (text, isTrouble) => {
      setText(value, text)
      root.classList.toggle("trouble", isTrouble)
    }
  }
}

const queue = (): View<Pool> => {
  const [waiting, wait, lease] = [figureView("waiting"), figureView("longest wait"), figureView("oldest lease")]
  return {
    root: element("ul", "figures", waiting.root, wait.root, lease.root),
    update: ({ counts, oldestLease, oldestWait }) => {
      waiting.set(count(counts.waiting), counts.waiting > 0)
      wait.set(oldestWait === undefined ? "–" : duration(oldestWait), oldestWait !== undefined && oldestWait >= 1000)
      lease.set(oldestLease === undefined ? "–" : duration(oldestLease), false)
    }
  }
}

const lines = (): View<ShownPool> => {
  const [active, waiting] = [sparkline(count), sparkline(count)]
  const labelled = (text: string, chart: Element) => element("div", "labelled", element("span", "quiet", text), chart)
  return {
    root: element("div", "lines", labelled("active", active.root), labelled("waiting", waiting.root)),
    update: ({ history, length, pool }) => {
      const [used, queued] = [history?.active ?? [], history?.waiting ?? []]
      active.update({ values: used, length, top: pool.maxTotal, label: "active connections" })
      waiting.update({ values: queued, length, top: Math.max(4, ...queued), label: "waiting borrowers" })
    }
  }
}

interface ShownEndpoint {
  readonly pool: Pool
  readonly endpoint: Endpoint
  readonly now: number
}

const troubleOf = ({ endpoint, now }: ShownEndpoint): string => {
  const { failedAttempts, impairedSince, nextDialIn, timeouts } = endpoint
  const attempts = impairedSince === undefined
    ? failedAttempts === 0 ? [] : [`${plural(failedAttempts, "failed attempt")} in all`]
    : attemptsText(endpoint)
  return [
    ...impairedSince === undefined
      ? []
      : [`for ${duration(Math.max(0, now - impairedSince))}, since ${time(impairedSince, now)}`],
    ...attempts,
    ...timeouts === 0 ? [] : [`${plural(timeouts, "timeout")} in all`],
    ...nextDialIn === undefined ? [] : [`next attempt in ${duration(nextDialIn)}`]
  ].join(", ")
}

/** The endpoint, its health, and since when it is impaired. */
const endpointView = (): View<ShownEndpoint> => {
  const [label, health, trouble] = [outsideText(), element("span", "chip"), element("span", "quiet block")]
  return {
    root: element("span", "", label.root, " ", health, trouble),
    update: (shown) => {
      label.update(shown.endpoint.label)
      setText(health, shown.endpoint.health)
      health.className = `chip ${shown.endpoint.health}`
      setText(trouble, troubleOf(shown))
    }
  }
}

const evictView = (ask: Ask) => (): View<ShownEndpoint> => {
  let shown: ShownEndpoint | undefined
  const root = button("Evict", () => {
    if (shown !== undefined) ask({ kind: "evict", pool: shown.pool.name, endpoint: shown.endpoint.label })
  })
  return {
    root,
    update: (item) => {
      shown = item
      setAttribute(root, "aria-label", `Evict the connections of ${item.endpoint.label}`)
    }
  }
}

const usage = ({ endpoint: { counts } }: ShownEndpoint): string => {
  const others = states.slice(2).filter((name) => counts[name] > 0).map((name) => `${counts[name]} ${name}`)
  return [`${counts.active} active, ${counts.idle} idle`, ...others].join(", ")
}

const waitText = ({ endpoint: { counts, oldestWait } }: ShownEndpoint): string =>
  counts.waiting === 0
    ? ""
    : `${count(counts.waiting)} waiting${oldestWait === undefined ? "" : `, the longest ${duration(oldestWait)}`}`

const usageView = (): View<ShownEndpoint> => {
  const [connections, waiting] = [element("span", "block"), element("span", "block strong")]
  return {
    root: element("span", "", connections, waiting),
    update: (shown) => {
      setText(connections, usage(shown))
      setText(waiting, waitText(shown))
    }
  }
}

const endpoints = (ask: Ask): View<ReadonlyArray<ShownEndpoint>> =>
  table<ShownEndpoint>({
    caption: "Endpoints of the pool, the worst first",
    className: "compact",
    keyOf: ({ endpoint }) => endpoint.label,
    rowClass: ({ endpoint }) => endpoint.health,
    columns: [
      { title: "Endpoint", className: "main", cell: endpointView },
      { title: "Connections", cell: usageView },
      { title: "Action", className: "action", cell: evictView(ask) }
    ]
  })

const counters = (): View<Pool> => {
  const [totals, closed, refused] = [element("dl", "facts"), element("dl", "facts"), element("dl", "facts")]
  const shows = [facts(totals), facts(closed), facts(refused)] as const
  const root = element(
    "details",
    "",
    element("summary", "", "Counters"),
    element("h4", "", "Since the pool was made"),
    totals,
    element("h4", "", "Closed, by reason"),
    closed,
    element("h4", "", "Refused borrows, by reason"),
    refused
  )
  const entries = (record: Readonly<Record<string, number>>) =>
    Object.entries(record).map(([name, value]) => [words(name), count(value)] as const)
  const orNone = (items: ReadonlyArray<readonly [string, string]>) =>
    items.length === 0 ? [["none", ""] as const] : items
  return {
    root,
    update: (pool) => {
      // What is folded is not written: twenty pools have some six hundred counters.
      if (!root.open) return
      shows[0](entries(pool.totals))
      shows[1](orNone(entries(pool.closedBy)))
      shows[2](orNone(entries(pool.refusals)))
    }
  }
}

interface Actions {
  readonly root: HTMLElement
  readonly update: (pool: Pool) => void
}

const actions = (ask: Ask): Actions => {
  let pool: Pool | undefined
  const asking = (kind: "evict" | "suspend" | "resume" | "drain") => () => {
    if (pool !== undefined) ask({ kind, pool: pool.name })
  }
  const buttons = {
    evict: button("Evict", asking("evict")),
    suspend: button("Suspend", asking("suspend")),
    resume: button("Resume", asking("resume")),
    drain: button("Drain", asking("drain"))
  }
  buttons.drain.classList.add("danger")
  return {
    root: element("div", "actions", ...Object.values(buttons)),
    update: (shown) => {
      pool = shown
      setHidden(buttons.suspend, shown.status !== "Open")
      setHidden(buttons.resume, shown.status !== "Suspended")
      setHidden(buttons.drain, shown.status === "Draining")
      for (const [kind, node] of Object.entries(buttons)) setAttribute(node, "aria-label", `${kind} pool ${shown.name}`)
    }
  }
}

const shownText = ({ endpoints: shown, endpointsByHealth: { Degraded, Healthy, Unavailable } }: Pool): string => {
  const all = Healthy + Degraded + Unavailable
  return all === 0
    ? "No endpoint has been used yet"
    : all > shown.length
    ? `${count(all)} endpoints: ${count(Unavailable)} unavailable, ${
      count(Degraded)
    } degraded. The worst ${shown.length} are listed.`
    : ""
}

/** More are shown on request: twenty pools with twenty endpoints each would be a long page. */
const mostEndpoints = 5

let made = 0

/** The element of a pool. Its id is the target of links, since a name may have any character. */
export const poolCard = (ask: Ask): View<ShownPool> => {
  const id = `pool-${++made}`
  const [name, health, status, required] = [
    outsideText(),
    element("span", "chip"),
    element("span", "chip note"),
    element("span", "chip plain", "required")
  ]
  const title = element("h3", "", name.root)
  title.id = `${id}-name`
  const [parts, waiting, history, rows, totals, todo] = [
    connections(),
    queue(),
    lines(),
    shortened(endpoints(ask), mostEndpoints),
    counters(),
    actions(ask)
  ]
  const more = element("p", "quiet")
  const head = element("div", "line", title, element("span", "chips", health, status, required))
  const root = element(
    "article",
    "card pool",
    head,
    parts.root,
    waiting.root,
    history.root,
    more,
    rows.root,
    totals.root,
    todo.root
  )
  root.id = id
  root.tabIndex = -1
  root.setAttribute("aria-labelledby", title.id)
  return {
    root,
    update: (item) => {
      const { now, pool } = item
      name.update(pool.name)
      setText(health, pool.health)
      health.className = `chip ${pool.health}`
      setText(status, pool.status)
      setHidden(status, pool.status === "Open")
      setHidden(required, !pool.isRequired)
      for (const view of [parts, waiting, totals, todo]) view.update(pool)
      history.update(item)
      setText(more, shownText(pool))
      setHidden(more, shownText(pool) === "")
      rows.update(pool.endpoints.map((endpoint) => ({ pool, endpoint, now })))
      setHidden(rows.root, pool.endpoints.length === 0)
    }
  }
}
