/**
 * What the diagrams of the pool show, as data. The places of their boxes and arrows follow from it.
 */
import { ladder } from "./ladder.ts"
import { arrow, circle, paragraph, type Picture, type Point, rect, text, width } from "./svg.ts"

/** The way of a borrow. What is on the right are the values of `stalledBy`, in the order in which a borrower meets them. */
export const borrow: Picture = ladder({
  title: "The way of a borrow",
  description:
    "An idle connection is leased at once. Otherwise the borrower waits in the queue of its endpoint until a slot of the endpoint and "
    + "a slot of the pool is free, there is room at the gate, the budget has a permit and the dial succeeds, or a connection is returned. "
    + "When acquireTimeout ends the wait, the error names the step.",
  from: ["use(pool, key, f)"],
  steps: [
    {
      asks: ["Is one idle?"],
      aside: { answer: "yes", lines: ["leased at once; checked before", "if idle for more than 500 ms"] },
      down: "no"
    },
    {
      asks: ["Has its endpoint", "a free slot?"],
      aside: { answer: "no", lines: ["waits for a return", "stalledBy: EndpointCap"] },
      down: "yes"
    },
    {
      asks: ["Has the pool", "a free slot?"],
      aside: {
        answer: "no",
        lines: ["closes the longest idle one of", "another endpoint, or waits", "stalledBy: TotalCap"]
      },
      down: "yes"
    },
    {
      asks: ["Room at the gate?"],
      aside: { answer: "no", lines: ["waits for a descriptor, memory", "stalledBy: Gate"] },
      down: "yes"
    },
    {
      asks: ["Has the budget", "a permit?"],
      aside: { answer: "no", lines: ["waits for one", "stalledBy: Budget"] },
      down: "yes"
    },
    {
      asks: ["Does the dial", "succeed?"],
      aside: { answer: "no", lines: ["one dial at a time, delayed", "stalledBy: Connecting"] },
      down: "yes"
    }
  ],
  to: ["leased to the first", "in the queue"],
  notes: [
    "A connection that is returned goes to the first in the queue.",
    "Every wait ends at acquireTimeout. The error names the step."
  ]
})

interface State {
  readonly name: string
  readonly column: number
  readonly row: number
}

const states = {
  connecting: { name: "Connecting", column: 1, row: 0 },
  leased: { name: "Leased", column: 0, row: 1 },
  idle: { name: "Idle", column: 2, row: 1 },
  closing: { name: "Closing", column: 1, row: 2 },
  free: { name: "slot free", column: 1, row: 3 }
} satisfies Record<string, State>

type StateName = keyof typeof states

interface Change {
  readonly from: StateName
  readonly to: StateName
  readonly lines: ReadonlyArray<string>
}

const changes: ReadonlyArray<Change> = [
  { from: "connecting", to: "leased", lines: ["open, and a", "borrower waits"] },
  { from: "connecting", to: "idle", lines: ["open, and no", "borrower waits"] },
  { from: "leased", to: "idle", lines: ["returned"] },
  { from: "idle", to: "leased", lines: ["borrowed"] },
  { from: "leased", to: "closing", lines: ["unfit, too old,", "evicted, held", "too long"] },
  { from: "idle", to: "closing", lines: ["dead, idle too", "long, too old,", "evicted"] },
  { from: "closing", to: "free", lines: ["the socket is closed"] }
]

const grid = { left: 72, top: 58, column: (width - 2 * 72) / 2, row: 112 }
const box = { width: 104, height: 34 }

const centerOf = (name: StateName): Point => [
  grid.left + states[name].column * grid.column,
  grid.top + states[name].row * grid.row
]

/** Leads from the edge of one box to that of another. Two arrows between boxes of a row lie one above the other. */
const route = ({ from, to }: Change): ReadonlyArray<Point> => {
  const [[fromX, fromY], [toX, toY]] = [centerOf(from), centerOf(to)]
  if (fromY === toY) {
    const side = Math.sign(toX - fromX)
    const y = fromY - side * 7
    return [[fromX + side * box.width / 2, y], [toX - side * box.width / 2, y]]
  }
  if (fromX === toX) return [[fromX, fromY + box.height / 2], [toX, toY - box.height / 2]]
  // Down from the side of the middle column, or to it.
  const side = Math.sign(toX - fromX)
  return states[from].column === 1
    ? [[fromX + side * box.width / 2, fromY], [toX, fromY], [toX, toY - box.height / 2]]
    : [[fromX, fromY + box.height / 2], [fromX, toY], [toX - side * box.width / 2, toY]]
}

const label = (change: Change): string => {
  const [[fromX, fromY], [toX, toY]] = [centerOf(change.from), centerOf(change.to)]
  const half = (change.lines.length - 1) / 2 * 15
  if (fromY === toY) {
    return paragraph(change.lines, (fromX + toX) / 2, fromY + (toX > fromX ? -17 : 17), "small muted middle")
  }
  if (fromX === toX) return paragraph(change.lines, fromX + 8, (fromY + toY) / 2, "small muted")
  const isFromMiddle = states[change.from].column === 1
  const outer = isFromMiddle ? toX : fromX
  const isLeft = outer < width / 2
  const y = isFromMiddle ? fromY + box.height / 2 + half + 12 : toY - box.height / 2 - half - 12
  return paragraph(change.lines, outer + (isLeft ? 8 : -8), y, isLeft ? "small muted" : "small muted end")
}

/** The life of a connection. */
export const life: Picture = {
  title: "The life of a connection",
  description:
    changes.map(({ from, lines, to }) => `${states[from].name} to ${states[to].name}: ${lines.join(" ")}.`).join(" ")
    + " Connecting, leased, idle and closing connections count against both caps.",
  height: grid.top + 3 * grid.row + box.height / 2 + 36,
  pieces: [
    rect(10, 12, width - 20, grid.top + 2 * grid.row + box.height / 2 + 14 - 12, "soft", 8),
    text("counts against both caps", width - 18, 28, "small muted end"),
    text(
      "When a dial fails, its slot is free at once.",
      12,
      grid.top + 3 * grid.row + box.height / 2 + 24,
      "small muted"
    ),
    ...changes.flatMap((change) => [arrow(route(change)), label(change)]),
    ...(Object.keys(states) as Array<StateName>).flatMap((name) => {
      const [x, y] = centerOf(name)
      return [
        rect(x - box.width / 2, y - box.height / 2, box.width, box.height, "box", 17),
        text(states[name].name, x, y + 4.5, "middle strong")
      ]
    })
  ]
}

type Slot = "idle" | "leased" | "free"

interface Frame {
  readonly lines: ReadonlyArray<string>
  readonly endpoints: Readonly<Record<string, ReadonlyArray<Slot>>>
}

/** The example of docs/reference/pool.md: two connections for an endpoint at most, and three in all. */
const frames: ReadonlyArray<Frame> = [
  {
    lines: ["All three slots are in use:", "a has two idle connections,", "b has one that is leased."],
    endpoints: { a: ["idle", "idle"], b: ["leased", "free"] }
  },
  {
    lines: ["A second borrower of b comes:", "the longer idle one of a", "closes, and b gets its slot."],
    endpoints: { a: ["idle", "free"], b: ["leased", "leased"] }
  },
  {
    lines: ["A third borrower of b waits:", "b is at its own cap, so that", "no connection of a closes."],
    endpoints: { a: ["idle", "free"], b: ["leased", "leased"] }
  }
]

const frameHeight = 92

const frameOf = ({ endpoints, lines }: Frame, index: number): ReadonlyArray<string> => {
  const y = 44 + index * frameHeight
  return [
    rect(12, y, 182, frameHeight - 14, "soft", 6),
    ...Object.entries(endpoints).flatMap(([name, slots], place) => {
      const x = 20 + place * 86
      return [
        rect(x, y + 8, 80, frameHeight - 30, "box", 6),
        text(name, x + 8, y + 25, "strong"),
        ...slots.map((slot, at) =>
          circle(x + 24 + at * 32, y + 46, 10, slot === "leased" ? "a" : slot === "idle" ? "ground idle" : "soft")
        ),
        ...slots.map((slot, at) => slot === "idle" ? circle(x + 24 + at * 32, y + 46, 4, "a") : "")
      ]
    }),
    paragraph(lines, 208, y + (frameHeight - 14) / 2, "small")
  ]
}

/** What the two caps do. */
export const caps: Picture = {
  title: "The two caps",
  description: "maxPerEndpoint is 2 and maxTotal is 3. " + frames.map(({ lines }) => lines.join(" ")).join(" "),
  height: 44 + frames.length * frameHeight + 26,
  pieces: [
    text("maxPerEndpoint: 2, maxTotal: 3", 12, 28, "strong"),
    ...frames.flatMap(frameOf),
    circle(22, 44 + frames.length * frameHeight + 8, 6, "a"),
    text("leased", 34, 44 + frames.length * frameHeight + 12, "small muted"),
    circle(98, 44 + frames.length * frameHeight + 8, 6, "ground idle"),
    circle(98, 44 + frames.length * frameHeight + 8, 2.5, "a"),
    text("idle", 110, 44 + frames.length * frameHeight + 12, "small muted"),
    circle(160, 44 + frames.length * frameHeight + 8, 6, "soft"),
    text("room under the cap of the endpoint", 172, 44 + frames.length * frameHeight + 12, "small muted")
  ]
}
