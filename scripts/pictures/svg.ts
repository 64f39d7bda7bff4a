/**
 * The parts of a picture. Colours are classes, so that the picture follows the light or dark scheme of its reader. It has a ground of its
 * own, because a page may have another scheme than the reader's system.
 */

/** A piece of a picture. */
export type Piece = string

/** The width of every picture, in units of its own. A phone shows them at about three quarters of their size. */
export const width = 400

const style = `
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.small { font-size: 11.5px }
.muted { fill: #59636e }
.strong { font-weight: 600 }
.end { text-anchor: end }
.middle { text-anchor: middle }
.ground { fill: #ffffff; stroke: #d1d9e0 }
.idle { stroke: #0550ae }
.box { fill: #f6f8fa; stroke: #818b98 }
.soft { fill: none; stroke: #818b98; stroke-dasharray: 4 3 }
.grid { fill: none; stroke: #d1d9e0 }
.edge { fill: none; stroke: #59636e; stroke-width: 1.4 }
.head { fill: #59636e }
.a { fill: #0550ae } .line.a { stroke: #0550ae }
.b { fill: #bc4c00 } .line.b { stroke: #bc4c00 }
.c { fill: #59636e } .line.c { stroke: #59636e }
path.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.range { stroke-width: 6; opacity: 0.35 }
.range.a { stroke: #0550ae } .range.b { stroke: #bc4c00 } .range.c { stroke: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .muted { fill: #9198a1 }
  .ground { fill: #0d1117; stroke: #3d444d }
  .idle { stroke: #79c0ff }
  .box { fill: #151b23; stroke: #9198a1 }
  .soft { stroke: #9198a1 }
  .grid { stroke: #3d444d }
  .edge { stroke: #9198a1 }
  .head { fill: #9198a1 }
  .a { fill: #79c0ff } .line.a, .range.a { stroke: #79c0ff }
  .b { fill: #ffa657 } .line.b, .range.b { stroke: #ffa657 }
  .c { fill: #9198a1 } .line.c, .range.c { stroke: #9198a1 }
}
`

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const rounded = (value: number): string => String(Math.round(value * 10) / 10)

/** Attributes, with numbers rounded to a tenth, so that the file does not depend on how a machine rounds. */
const attributes = (of: Record<string, string | number>): string =>
  Object.entries(of).map(([name, value]) => `${name}="${typeof value === "number" ? rounded(value) : value}"`).join(" ")

export const text = (content: string, x: number, y: number, look = ""): Piece =>
  `<text ${attributes({ x, y, class: look })}>${escaped(content)}</text>`

/** Lines of text one below the other, around a middle. */
export const paragraph = (lines: ReadonlyArray<string>, x: number, middle: number, look = ""): Piece =>
  lines.map((line, index) => text(line, x, middle + 4 + (index - (lines.length - 1) / 2) * 15, look)).join("\n")

export const rect = (x: number, y: number, w: number, h: number, look: string, rx = 6): Piece =>
  `<rect ${attributes({ x, y, width: w, height: h, rx, class: look })}/>`

export const circle = (cx: number, cy: number, r: number, look: string): Piece =>
  `<circle ${attributes({ cx, cy, r, class: look })}/>`

export type Point = readonly [x: number, y: number]

export const path = (points: ReadonlyArray<Point>, look: string): Piece =>
  `<path d="M${points.map(([x, y]) => `${rounded(x)} ${rounded(y)}`).join("L")}" class="${look}"/>`

/** A path with a head at its end. */
export const arrow = (points: ReadonlyArray<Point>): Piece => {
  const [[fromX, fromY], [toX, toY]] = [points.at(-2) ?? [0, 0], points.at(-1) ?? [0, 0]]
  const angle = Math.atan2(toY - fromY, toX - fromX)
  const corner = (turn: number): Point => [toX - 8 * Math.cos(angle + turn), toY - 8 * Math.sin(angle + turn)]
  const head = [[toX, toY] as const, corner(0.4), corner(-0.4)].map(([x, y]) => `${rounded(x)} ${rounded(y)}`).join("L")
  return `${path(points, "edge")}\n<path d="M${head}Z" class="head"/>`
}

/** A picture: what is in it, its height, and what a reader who does not see it is read. */
export interface Picture {
  readonly title: string
  readonly description: string
  readonly height: number
  readonly pieces: ReadonlyArray<Piece>
}

/** The file of a picture. Its natural size is a fifth more than its units. */
export const fileOf = ({ description, height, pieces, title }: Picture): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${Math.ceil(height)}" width="${
      width * 1.2
    }" role="img" aria-labelledby="title description">`,
    `<title id="title">${escaped(title)}</title>`,
    `<desc id="description">${escaped(description)}</desc>`,
    `<style>${style}</style>`,
    rect(0.5, 0.5, width - 1, Math.ceil(height) - 1, "ground", 8),
    ...pieces,
    "</svg>",
    ""
  ].join("\n")
