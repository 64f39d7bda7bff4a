/**
 * Polls the program each second and shows what it answers. It says so when no answer comes, and goes on asking.
 */
import type { Snapshot } from "../../../Snapshot.ts"
import * as Banner from "./Banner.ts"
import * as Controls from "./Controls.ts"
import { byId, list, setHidden, setText } from "./Dom.ts"
import { countOf, findingsOf, type Pool } from "./Findings.ts"
import { count, duration, time } from "./Format.ts"
import * as Levels from "./Levels.ts"
import { poolCard, type ShownPool } from "./PoolCard.ts"
import * as Session from "./Session.ts"
import * as Tables from "./Tables.ts"

const interval = 1000

/** A tab that is not seen needs its title alone. */
const hiddenInterval = 5000

let last: Snapshot | undefined
let lostSince: number | undefined
let isLocked = false

const announce = (sentence: string): void => {
  setText(byId("announcement"), sentence)
  setText(byId("done"), sentence)
}

const ask = Controls.make((sentence) => {
  announce(sentence)
  void poll()
})

const cards = byId("pool-list")
const ids = new Map<string, string>()
const showBanner = Banner.make((pool) => ids.get(pool))
const showLevels = Levels.make()
const showTables = Tables.make(ask)
const showCards = list<ShownPool>(cards, ({ pool }) => pool.name, () => {
  const card = poolCard(ask)
  return {
    root: card.root,
    update: (item) => {
      ids.set(item.pool.name, card.root.id)
      card.update(item)
    }
  }
})

const filter = byId("filter") as HTMLInputElement
const troubled = byId("troubled") as HTMLInputElement

const matcher = (): Tables.Matches => {
  const wanted = filter.value.trim().toLowerCase()
  return (...texts) => wanted === "" || texts.some((text) => text?.toLowerCase().includes(wanted) === true)
}

const isTroubled = ({ counts, health, status }: Pool): boolean =>
  health !== "Healthy" || status !== "Open" || counts.waiting > 0

const showPools = ({ at: now, history, pools }: Snapshot, matches: Tables.Matches): void => {
  const shown = pools.filter((pool) =>
    (!troubled.checked || isTroubled(pool)) && matches(pool.name, ...pool.endpoints.map(({ label }) => label))
  )
  showCards(shown.map((pool) => ({ pool, now, history: history.pools[pool.name], length: history.length })))
  setText(
    byId("pools-count"),
    shown.length === pools.length ? count(pools.length) : `${shown.length} of ${pools.length}`
  )
  setText(byId("pools-none"), pools.length === 0 ? "The program has no pool." : "No pool matches the filter.")
  setHidden(byId("pools-none"), shown.length > 0)
}

/** The tab shows it too, for a page that stands behind others. */
const titleOf = (down: number, { readiness }: Snapshot): string =>
  down > 0
    ? `(${down}) ${down === 1 ? "outage" : "outages"} · sluice`
    : readiness.isReady
    ? "sluice"
    : "not ready · sluice"

const show = (snapshot: Snapshot): void => {
  const matches = matcher()
  showLevels(snapshot)
  showPools(snapshot, matches)
  showTables(snapshot, matches)
  const findings = findingsOf(snapshot)
  showBanner(findings, snapshot.at)
  document.title = titleOf(countOf(findings, "down"), snapshot)
}

const setState = (state: "live" | "lost" | "locked", text: string): void => {
  document.body.dataset["state"] = state
  setText(byId("live"), text)
}

const live = (snapshot: Snapshot): void => {
  const isAnother = last !== undefined && last.process.pid !== snapshot.process.pid
  if (isAnother) announce(`Another process answers now: ${snapshot.process.pid}, before it was ${last?.process.pid}`)
  else if (lostSince !== undefined) announce("The connection is back")
  lostSince = undefined
  last = snapshot
  setState("live", `Live · ${time(snapshot.at, snapshot.at)}`)
  setHidden(byId("lost"), true)
  setHidden(byId("locked"), true)
  setHidden(byId("main"), false)
  show(snapshot)
}

const lostText = (): string =>
  last === undefined
    ? "No answer from the program yet"
    : last.isRetiring
    ? "The process has ended"
    : "The process has ended, or the connection to it is lost"

const lost = (reason: string): void => {
  const now = performance.now()
  if (lostSince === undefined) setText(byId("alarm"), lostText())
  lostSince ??= now
  setState("lost", "Not connected")
  setHidden(byId("lost"), false)
  setText(byId("lost-title"), lostText())
  const seen = last === undefined ? "" : ` What you see below is of ${time(last.at, last.at)}.`
  const process = last === undefined ? "" : ` Process ${last.process.pid}.`
  setText(
    byId("lost-facts"),
    `${reason}, for ${duration(now - lostSince)}.${process}${seen} The page tries again each second.`
  )
  document.title = "no answer · sluice"
}

const locked = (refused: Session.Refused): void => {
  setState("locked", "Locked")
  setHidden(byId("lost"), true)
  setHidden(byId("locked"), false)
  setHidden(byId("main"), last === undefined)
  setText(byId("locked-reason"), refused.message)
  // Only a token that is asked for can help.
  isLocked = refused.status === 401
  setHidden(byId("locked-form"), !isLocked)
}

let timer: ReturnType<typeof setTimeout> | undefined
let isPolling = false

const poll = async (): Promise<void> => {
  if (isPolling) return
  isPolling = true
  isLocked = false
  clearTimeout(timer)
  try {
    live(await Session.snapshot())
  } catch (error) {
    if (error instanceof Session.Unreachable) lost(error.message)
    else if (error instanceof Session.Refused && error.status < 500) locked(error)
    else if (error instanceof Session.Refused) lost(error.message)
    else throw error
  } finally {
    isPolling = false
    // A program that asks for a token is not asked again without one.
    if (!isLocked) timer = setTimeout(() => void poll(), document.hidden ? hiddenInterval : interval)
  }
}

const shownAgain = (): void => {
  if (last !== undefined) show(last)
}

filter.addEventListener("input", shownAgain)
troubled.addEventListener("change", shownAgain)
// The counters of a pool are written only while they are unfolded. The event does not bubble.
cards.addEventListener("toggle", shownAgain, { capture: true })
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void poll()
})
byId("locked-form").addEventListener("submit", (event) => {
  event.preventDefault()
  const token = byId("locked-token") as HTMLInputElement
  Session.setToken(token.value)
  token.value = ""
  void poll()
})

void poll()
