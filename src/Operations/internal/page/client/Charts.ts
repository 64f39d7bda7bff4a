/**
 * Bars and sparklines as SVG. Sizes are attributes: the content policy admits no inline style.
 */
import { element, setAttribute, setText, type View } from "./Dom.ts"

const svg = <K extends keyof SVGElementTagNameMap>(tag: K, attributes: Readonly<Record<string, string>>) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

const hiddenFrame = (className: string, width: number, height: number) =>
  svg("svg", {
    class: className,
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
    focusable: "false"
  })

/** A part of a bar. The legend has its number too, so that no reader depends on the color. */
export interface Part {
  readonly name: string
  readonly value: number
}

const width = 1000

/** A bar of parts against a cap. If the parts are more than the cap, they fill the bar in proportion. */
export const bar = (
  names: ReadonlyArray<string>
): View<{ readonly parts: ReadonlyArray<Part>; readonly cap: number }> => {
  const root = hiddenFrame("bar", width, 10)
  const rects = new Map(names.map((name) => {
    const rect = svg("rect", { class: `part ${name}`, y: "0", height: "10" })
    root.append(rect)
    return [name, rect]
  }))
  return {
    root,
    update: ({ cap, parts }) => {
      const whole = Math.max(cap, parts.reduce((sum, { value }) => sum + value, 0), 1)
      let x = 0
      for (const { name, value } of parts) {
        const rect = rects.get(name)
        if (rect === undefined) continue
        const length = value / whole * width
        setAttribute(rect, "x", x.toFixed(1))
        setAttribute(rect, "width", length.toFixed(1))
        x += length
      }
    }
  }
}

export interface Series {
  /** `null` is a figure that was unknown, a gap in the line. */
  readonly values: ReadonlyArray<number | null>
  /** The value at the top of the line. */
  readonly top: number
  /** The number of figures in the whole width. A shorter series stands at the right. */
  readonly length: number
  /** What the line shows, for screen readers. */
  readonly label: string
}

const [sparkWidth, sparkHeight] = [240, 36]

const pathOf = ({ length, top, values }: Series): string => {
  const step = sparkWidth / Math.max(1, length - 1)
  let isGap = true
  let path = ""
  values.forEach((value, index) => {
    if (value === null) {
      isGap = true
      return
    }
    const x = sparkWidth - (values.length - 1 - index) * step
    const y = sparkHeight - 2 - Math.min(1, value / top) * (sparkHeight - 4)
    path += `${isGap ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`
    isGap = false
  })
  return path
}

const summary = (label: string, values: ReadonlyArray<number>, text: (value: number) => string): string => {
  const last = values.at(-1)
  return last === undefined
    ? `${label}: no figures yet`
    : `${label}: now ${text(last)}, from ${text(Math.min(...values))} to ${text(Math.max(...values))}`
}

/** A line of the last minutes with a text for screen readers. */
export const sparkline = (text: (value: number) => string): View<Series> => {
  const frame = hiddenFrame("spark", sparkWidth, sparkHeight)
  const line = svg("path", { class: "line", fill: "none", "vector-effect": "non-scaling-stroke" })
  const base = svg("path", {
    class: "base",
    d: `M0 ${sparkHeight - 1}H${sparkWidth}`,
    "vector-effect": "non-scaling-stroke"
  })
  frame.append(base, line)
  const words = element("span", "unseen")
  const root = element("span", "chart", words)
  root.append(frame)
  return {
    root,
    update: (series) => {
      setAttribute(line, "d", pathOf(series))
      setText(words, summary(series.label, series.values.filter((value) => value !== null), text))
    }
  }
}
