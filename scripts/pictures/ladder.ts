/**
 * A ladder: questions from top to bottom. One answer leads down, the other to the right.
 */
import { arrow, paragraph, type Picture, rect, text, width } from "./svg.ts"

export interface Step {
  /** The question, in lines. */
  readonly asks: ReadonlyArray<string>
  /** The answer that leads to the right, and where it leads, in lines. */
  readonly aside: { readonly answer: string; readonly lines: ReadonlyArray<string> }
  /** The answer that leads down. */
  readonly down: string
}

export interface Ladder {
  readonly title: string
  readonly description: string
  readonly from: ReadonlyArray<string>
  readonly steps: ReadonlyArray<Step>
  readonly to: ReadonlyArray<string>
  /** Lines below the ladder. */
  readonly notes: ReadonlyArray<string>
}

const margin = 12
const left = { x: margin, width: 150 }
const right = { x: left.x + left.width + 30, width: width - 2 * margin - left.width - 30 }
const gap = 24

const heightOf = (lines: number): number => lines * 15 + 16

/** The picture of a ladder. Each row is as high as the longer one of its two texts. */
export const ladder = ({ description, from, notes, steps, title, to }: Ladder): Picture => {
  const middle = left.x + left.width / 2
  const pieces: Array<string> = []
  const box = (lines: ReadonlyArray<string>, y: number, look: string) => {
    pieces.push(rect(left.x, y, left.width, heightOf(lines.length), "box", 14))
    pieces.push(paragraph(lines, middle, y + heightOf(lines.length) / 2, look))
  }
  let y = margin
  box(from, y, "middle strong")
  y += heightOf(from.length)
  let answer = ""
  const down = (height: number) => {
    pieces.push(arrow([[middle, y], [middle, y + height]]))
    if (answer !== "") pieces.push(text(answer, middle + 8, y + height / 2 + 4, "small muted"))
    y += height
  }
  for (const { aside, asks, down: next } of steps) {
    down(gap)
    const height = heightOf(Math.max(asks.length, aside.lines.length))
    const center = y + height / 2
    pieces.push(rect(left.x, y, left.width, height, "box", 2))
    pieces.push(paragraph(asks, middle, center, "middle"))
    pieces.push(arrow([[left.x + left.width, center], [right.x, center]]))
    pieces.push(text(aside.answer, left.x + left.width + 11, center - 5, "small muted middle"))
    pieces.push(rect(right.x, y, right.width, height, "soft", 2))
    pieces.push(paragraph(aside.lines, right.x + 8, center, "small"))
    y += height
    answer = next
  }
  down(gap)
  box(to, y, "middle strong")
  y += heightOf(to.length) + 18
  notes.forEach((line, index) => pieces.push(text(line, margin, y + index * 15, "small muted")))
  return { title, description, height: y + (notes.length - 1) * 15 + margin, pieces }
}
