/**
 * Text of HTML and SVG.
 */

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "\"": "&quot;",
  "'": "&#39;"
}

/** A text as HTML that shows it. */
export const escape = (text: string): string => text.replace(/[&<>"']/g, (char) => entities[char] ?? char)

/** An element with content that is HTML. Its attributes are texts. */
export const element = (
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  ...content: ReadonlyArray<string>
): string => {
  const texts = Object.entries(attributes).map(([key, value]) => ` ${key}="${escape(String(value))}"`)
  return `<${name}${texts.join("")}>${content.join("")}</${name}>`
}

/** A row of a table: its title, and its cells. */
export const tableRow = (title: string, cells: ReadonlyArray<string>): string =>
  element("tr", {}, element("th", { scope: "row" }, escape(title)), ...cells)
