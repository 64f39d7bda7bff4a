/**
 * A plot over time as SVG, in which the faults are shaded. Its colours are those of the page.
 */
import type { Plan } from "../Plan.ts"
import { slice, type Values } from "../Series.ts"
import * as Axis from "./Axis.ts"
import { element, escape } from "./Html.ts"

/** One line of a plot. */
export interface Line {
  readonly name: string
  readonly values: Values
  /** The class of the page that draws it. */
  readonly style: string
}

/** A plot. */
export interface Plot {
  readonly title: string
  /** What is plotted, in a sentence. */
  readonly about: string
  readonly unit: string
  readonly scale: Axis.Scale
  readonly lines: ReadonlyArray<Line>
}

const size = { width: 400, height: 220 }
const inner = { left: 44, right: 384, top: 22, bottom: 196 }

const xOf = (millis: number, { duration }: Plan): number => inner.left + (inner.right - inner.left) * millis / duration

const yOf = (height: number): number => inner.bottom - (inner.bottom - inner.top) * height

const short = (value: number): string => String(Math.round(value * 10) / 10)

const text = (x: number, y: number, anchor: "start" | "middle" | "end", content: string): string =>
  element("text", { x: short(x), y: short(y), "text-anchor": anchor }, escape(content))

const faults = (plan: Plan): string =>
  plan.faults.map(({ from, kind, to }) => {
    const [x, end] = [xOf(from, plan), xOf(to, plan)]
    const band = { class: "fault", x: short(x), y: inner.top, width: short(end - x), height: inner.bottom - inner.top }
    return element("rect", band) + text((x + end) / 2, inner.top - 8, "middle", kind)
  }).join("")

const tickText = (value: number): string => value >= 10_000 ? `${value / 1000}k` : String(value)

const grid = (axis: Axis.Axis): string =>
  axis.ticks.map((tick) => {
    const y = short(yOf(axis.heightOf(tick)))
    const line = element("line", { class: "grid", x1: inner.left, x2: inner.right, y1: y, y2: y })
    return line + text(inner.left - 6, Number(y) + 4, "end", tickText(tick))
  }).join("")

/** A tick for about each fourth part of the run. */
const times = (plan: Plan): string => {
  const step = plan.duration > 10_000 ? 5000 : 1000
  const ticks = Array.from({ length: Math.floor(plan.duration / step) + 1 }, (_, index) => index * step)
  return ticks.map((tick) => text(xOf(tick, plan), inner.bottom + 16, "middle", `${tick / 1000} s`)).join("")
}

/** The middle of a slice, in milliseconds. */
export const timeOf = (index: number): number => (index + 0.5) * slice

/** The path of a line. It is interrupted where a value is unknown, and a lone value is a dot. */
export const pathOf = (values: Values, plan: Plan, axis: Axis.Axis): string => {
  let isDrawing = false
  return values.map((value, index) => {
    if (value === undefined) {
      isDrawing = false
      return ""
    }
    const point = `${short(xOf(timeOf(index), plan))} ${short(yOf(axis.heightOf(value)))}`
    const step = isDrawing ? `L${point}` : `M${point}h0`
    isDrawing = true
    return step
  }).join("")
}

/** Draws a plot. */
export const svg = ({ about, lines, scale, title, unit }: Plot, plan: Plan): string => {
  const values = lines.flatMap((line) => line.values.filter((value) => value !== undefined))
  const axis = Axis.make(scale, values)
  return element(
    "svg",
    { viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": `${title} (${unit}). ${about}` },
    faults(plan),
    grid(axis),
    times(plan),
    // The first line, which is ours, is drawn last, above the others.
    ...lines.toReversed().map((line) => element("path", { class: line.style, d: pathOf(line.values, plan, axis) }))
  )
}
