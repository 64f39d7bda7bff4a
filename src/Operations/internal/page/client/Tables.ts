/**
 * Who holds what, what leaks, and what has failed: the tables of the whole program.
 */
import type { Snapshot } from "../../../Snapshot.ts"
import {
  button,
  byId,
  element,
  list,
  outside,
  outsideText,
  plain,
  setAttribute,
  setHidden,
  setText,
  shortened,
  table,
  type View
} from "./Dom.ts"
import type { Monitor, Pool } from "./Findings.ts"
import { count, duration, shortSite, time } from "./Format.ts"
import type { Ask } from "./PoolCard.ts"

type Holder = Pool["holders"][number] & { readonly pool: string }
type Failure = Pool["failures"][number] & { readonly pool: string; readonly now: number }
type Leak = Monitor["leaks"][number] & { readonly now: number }
type Alert = Monitor["alerts"][number] & { readonly now: number }

/** Whether a text of an item contains what the reader looks for. */
export type Matches = (...texts: ReadonlyArray<string | undefined>) => boolean

const attributeTexts = ({ attributes }: Holder): ReadonlyArray<string> =>
  Object.entries(attributes).map(([name, value]) => `${name}=${value}`)

/** The route and its attributes. */
const routeView = (): View<Holder> => {
  const [span, attributes] = [outsideText("strong"), outsideText("quiet block")]
  return {
    root: element("span", "", span.root, attributes.root),
    update: (holder) => {
      span.update(holder.span ?? "–")
      attributes.update(attributeTexts(holder).join(", "))
      setHidden(attributes.root, attributeTexts(holder).length === 0)
    }
  }
}

/** A call site with the end of its path. The whole of it is its tooltip. */
const siteView = <A>(siteOf: (item: A) => string | undefined) => (): View<A> => {
  const { root, update } = outsideText()
  return {
    root,
    update: (item) => {
      const site = siteOf(item)
      update(site === undefined ? "–" : shortSite(site))
      setAttribute(root, "title", site)
    }
  }
}

/** A pool and one of its endpoints, one below the other. */
const pairView = <A>(textsOf: (item: A) => readonly [string | undefined, string]) => (): View<A> => {
  const [pool, endpoint] = [outsideText("block"), outsideText("quiet block")]
  return {
    root: element("span", "", pool.root, endpoint.root),
    update: (item) => {
      const [first, second] = textsOf(item)
      pool.update(first ?? "")
      setHidden(pool.root, first === undefined)
      endpoint.update(second)
    }
  }
}

const endView = (ask: Ask) => (): View<Holder> => {
  let shown: Holder | undefined
  const root = button("End", () => {
    if (shown === undefined) return
    const { id, pool, site, span } = shown
    ask({ kind: "end", pool, lease: id, holder: span ?? site ?? "an unknown holder" })
  }, "danger")
  return {
    root,
    update: (holder) => {
      shown = holder
      setAttribute(root, "aria-label", `End the lease of ${holder.span ?? holder.site ?? "an unknown holder"}`)
    }
  }
}

const holderTable = (ask: Ask) =>
  table<Holder>({
    caption: "Borrowers that hold a connection, the longest first",
    className: "compact",
    keyOf: ({ id, pool }) => `${id} ${pool}`,
    columns: [
      {
        title: "Age",
        className: "number",
        cell: plain(({ age, isStanding }) => isStanding ? `${duration(age)} (standing)` : duration(age))
      },
      { title: "Route", cell: routeView },
      { title: "Call site", className: "code", cell: siteView(({ site }) => site) },
      { title: "Pool, endpoint", cell: pairView(({ endpoint, pool }) => [pool, endpoint]) },
      { title: "Action", className: "action", cell: endView(ask) }
    ]
  })

const verdicts = { held: "held too long", lost: "lost: never returned", left_open: "left open at the end of a scope" }

const leakTable = () =>
  table<Leak>({
    caption: "Leaks by call site",
    keyOf: ({ label, pool, site, span, verdict }) => `${verdict} ${site} ${span} ${pool} ${label}`,
    columns: [
      {
        title: "What",
        className: "strong",
        cell: plain(({ count: times, verdict }) => `${count(times)} × ${verdicts[verdict]}`)
      },
      { title: "Call site", className: "code", cell: siteView(({ site }) => site) },
      { title: "Route", cell: outside(({ span }) => span) },
      { title: "Pool, endpoint", cell: pairView(({ label, pool }) => [pool, label]) },
      { title: "Longest", className: "number", cell: plain(({ longest }) => duration(longest)) },
      { title: "Last", cell: plain(({ lastAt, now }) => time(lastAt, now)) }
    ]
  })

const failureTable = () =>
  table<Failure>({
    caption: "Failures of endpoints, the last first",
    className: "compact",
    keyOf: ({ endpoint, pool, type }) => `${type} ${endpoint} ${pool}`,
    columns: [
      { title: "Time", className: "number", cell: plain(({ at, now }) => time(at, now)) },
      { title: "Pool, endpoint", cell: pairView(({ endpoint, pool }) => [pool, endpoint]) },
      { title: "Times", className: "number", cell: plain(({ count: times }) => `${count(times)} ×`) },
      { title: "Error", className: "strong", cell: outside(({ type }) => type) },
      { title: "Message", cell: outside(({ message }) => message) }
    ]
  })

const siteTable = () =>
  table<Monitor["sites"][number]>({
    caption: "Call sites with most open connections",
    className: "compact",
    keyOf: ({ site }) => site,
    columns: [
      { title: "Open", className: "number", cell: plain(({ open }) => count(open)) },
      { title: "Call site", className: "code", cell: siteView(({ site }) => site) }
    ]
  })

const alertView = (): View<Alert> => {
  const [at, level, message] = [element("time"), element("span", "chip"), outsideText()]
  return {
    root: element("li", "", at, " ", level, " ", message.root),
    update: (alert) => {
      setText(at, time(alert.at, alert.now))
      setText(level, alert.level)
      level.className = `chip ${alert.level}`
      message.update(alert.message)
    }
  }
}

const most = 25

/** A section with its table, the number of its rows beside the title, and a sentence if it has none. */
const section = <A>(id: string, rows: View<ReadonlyArray<A>>) => {
  const view = shortened(rows, most)
  const [around, shown, none] = [byId(id), byId(`${id}-count`), byId(`${id}-none`)]
  around.append(view.root)
  return (items: ReadonlyArray<A>, all: number): void => {
    view.update(items)
    setHidden(around, items.length === 0)
    setText(shown, items.length === all ? count(all) : `${count(items.length)} of ${count(all)}`)
    setText(none, all === 0 ? none.dataset["none"] ?? "" : "No row matches the filter.")
    setHidden(none, items.length > 0)
  }
}

const byAge = (a: Holder, b: Holder): number => Number(a.isStanding) - Number(b.isStanding) || b.age - a.age

/** Shows the tables. */
export const make = (ask: Ask) => {
  const holders = section("holders", holderTable(ask))
  const leaks = section("leaks", leakTable())
  const failures = section("failures", failureTable())
  const sites = section("sites", siteTable())
  const alertsAround = byId("alerts")
  const alerts = list<Alert>(byId("alert-list"), ({ at, level }) => `${at} ${level}`, alertView)
  return ({ at: now, monitor, pools }: Snapshot, matches: Matches): void => {
    const held = pools.flatMap((pool) => pool.holders.map((holder) => ({ ...holder, pool: pool.name }))).toSorted(byAge)
    holders(
      held.filter((one) => matches(one.pool, one.endpoint, one.span, one.site, ...attributeTexts(one))),
      held.length
    )
    const failed = pools.flatMap((pool) => pool.failures.map((failure) => ({ ...failure, pool: pool.name, now })))
      .toSorted((a, b) => b.at - a.at)
    failures(failed.filter((one) => matches(one.pool, one.endpoint, one.type, one.message)), failed.length)
    const leaked = (monitor?.leaks ?? []).map((leak) => ({ ...leak, now }))
    leaks(leaked.filter((one) => matches(one.pool, one.label, one.site, one.span, one.verdict)), leaked.length)
    const places = (monitor?.sites ?? []).filter(({ open }) => open > 0).toSorted((a, b) => b.open - a.open)
    sites(places.filter(({ site }) => matches(site)), places.length)
    setHidden(alertsAround, (monitor?.alerts.length ?? 0) === 0)
    alerts((monitor?.alerts ?? []).map((alert) => ({ ...alert, now })))
  }
}
