/**
 * The vertical axis of a plot.
 */

/** How values become heights. `count` is logarithmic from 1 on, and has 0 below that. */
export type Scale = "linear" | "log" | "count"

/** An axis: the height of a value, from 0 at the bottom to 1 at the top, and the values that are named. */
export interface Axis {
  readonly heightOf: (value: number) => number
  readonly ticks: ReadonlyArray<number>
}

/** The smallest of 1, 2, 5, 10, 20, 50, ... that is at least so large. */
const roundUp = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= value) ?? 10)
}

const linear = (most: number): Axis => {
  const step = roundUp(Math.max(most, 1) / 5)
  const top = step * Math.ceil(Math.max(most, 1) / step)
  return {
    heightOf: (value) => Math.min(1, Math.max(0, value / top)),
    ticks: Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step)
  }
}

/** Whole decades around all values. */
const log = (least: number, most: number): Axis => {
  const from = Math.floor(Math.log10(Math.max(least, 1)))
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(most, 1))))
  return {
    heightOf: (value) => Math.min(1, Math.max(0, (Math.log10(Math.max(value, 1)) - from) / (to - from))),
    ticks: Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index))
  }
}

/** 0, 1, 10, 100, ... */
const count = (most: number): Axis => {
  const top = Math.log10(1 + 10 ** Math.max(1, Math.ceil(Math.log10(Math.max(most, 1)))))
  return {
    heightOf: (value) => Math.min(1, Math.max(0, Math.log10(1 + value) / top)),
    ticks: [0, ...Array.from({ length: Math.round(top) + 1 }, (_, power) => 10 ** power)]
  }
}

/** An axis for these values. All but the logarithmic one begin with 0. */
export const make = (scale: Scale, values: ReadonlyArray<number>): Axis => {
  const most = values.length === 0 ? 1 : Math.max(...values)
  if (scale === "linear") return linear(most)
  return scale === "count" ? count(most) : log(values.length === 0 ? 1 : Math.min(...values), most)
}
