/**
 * What needs attention, at the top of the page, and the announcements of it to screen readers.
 */
import { byId, element, list, outsideText, setHidden, setText, type View } from "./Dom.ts"
import { countOf, type Finding, type Severity } from "./Findings.ts"
import { duration, plural, time } from "./Format.ts"

/** A finding with the time of its snapshot and the element to which it leads. */
interface Shown {
  readonly finding: Finding
  readonly now: number
  readonly target: string | undefined
}

const signs: Readonly<Record<Severity, string>> = { down: "Outage", warning: "Warning", note: "Note" }

const sinceText = ({ finding: { facts, since }, now }: Shown): string =>
  [
    ...since === undefined ? [] : [`for ${duration(Math.max(0, now - since))}, since ${time(since, now)}`],
    ...facts
  ].join(" · ")

const findingView = (): View<Shown> => {
  const sign = element("strong", "sign")
  const [title, pool, detail] = [outsideText("title"), outsideText(), outsideText("detail")]
  const link = element("a", "", "pool ", pool.root)
  const facts = element("p", "facts")
  const root = element("li", "", element("p", "head", sign, " ", title.root, " ", link), facts, detail.root)
  return {
    root,
    update: (shown) => {
      const { finding, target } = shown
      if (root.className !== finding.severity) root.className = finding.severity
      setText(sign, signs[finding.severity])
      title.update(finding.title)
      pool.update(finding.pool ?? "")
      setHidden(link, target === undefined)
      if (target !== undefined) link.href = `#${target}`
      setText(facts, sinceText(shown))
      detail.update(finding.detail ?? "")
      setHidden(detail.root, finding.detail === undefined)
    }
  }
}

const sentence = ({ pool, title }: Finding): string => pool === undefined ? title : `${title}, pool ${pool}`

/** Announces what went down or came back, once each. A list that is read out at each poll would silence all else. */
const announcer = () => {
  let known = new Map<string, string>()
  return (findings: ReadonlyArray<Finding>): void => {
    const down = new Map(
      findings.filter(({ severity }) => severity === "down").map((finding) => [finding.key, sentence(finding)])
    )
    const begun = Array.from(down).filter(([key]) => !known.has(key)).map(([, text]) => text)
    const ended = Array.from(known).filter(([key]) => !down.has(key)).map(([, text]) => `It is over: ${text}`)
    known = down
    if (begun.length > 0) setText(byId("alarm"), begun.slice(0, 5).join(". "))
    else if (ended.length > 0) setText(byId("announcement"), ended.slice(0, 5).join(". "))
    if (down.size === 0) setText(byId("alarm"), "")
  }
}

const summaryOf = (findings: ReadonlyArray<Finding>): string => {
  const [down, warnings] = [countOf(findings, "down"), countOf(findings, "warning")]
  if (findings.length === 0) return "All is well: nothing is down, full or suspended"
  const parts = [
    down > 0 ? plural(down, "outage") : "No outage",
    ...warnings > 0 ? [plural(warnings, "warning")] : []
  ]
  return parts.join(", ")
}

/** Shows the findings. `idOf` is the id of a pool's element. */
export const make = (idOf: (pool: string) => string | undefined) => {
  const show = list<Shown>(byId("findings"), ({ finding }) => finding.key, findingView)
  const announce = announcer()
  const summary = byId("summary")
  return (findings: ReadonlyArray<Finding>, now: number): void => {
    show(
      findings.map((finding) => ({ finding, now, target: finding.pool === undefined ? undefined : idOf(finding.pool) }))
    )
    setText(summary, summaryOf(findings))
    summary.className = countOf(findings, "down") > 0
      ? "down"
      : findings.length > 0
      ? "warning"
      : "well"
    announce(findings)
  }
}
