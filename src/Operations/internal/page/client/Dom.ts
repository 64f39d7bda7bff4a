/**
 * Elements that are made once and then changed in place, so that focus, selection and scroll survive each update.
 */

/** An element that shows an item. `update` writes only what differs. */
export interface View<A, E extends Element = Element> {
  readonly root: E
  readonly update: (item: A) => void
}

/** Makes an element. A string becomes text: no value is ever parsed as markup. */
export const element = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...children: ReadonlyArray<Node | string>
): HTMLElementTagNameMap[K] => {
  const made = document.createElement(tag)
  if (className !== "") made.className = className
  made.append(...children)
  return made
}

/** An element of the markup that the page cannot do without. */
export const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no element ${id}`)
  return found
}

export const setText = (node: Element, text: string): void => {
  if (node.textContent !== text) node.textContent = text
}

/** Sets an attribute, or removes it if the value is `undefined`. */
export const setAttribute = (node: Element, name: string, value: string | undefined): void => {
  if (value === undefined) node.removeAttribute(name)
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value)
}

export const setHidden = (node: HTMLElement, isHidden: boolean): void => {
  if (node.hidden !== isHidden) node.hidden = isHidden
}

/** Texts that are longer fill three lines of a narrow column; CSS cuts them until they have the focus. */
const longest = 80

/** Texts up to this length are never broken: a column has room for them, and a broken name is hard to read. */
const unbroken = 24

/** A text from outside. It is isolated, so that right-to-left marks in it do not reorder what stands beside it. */
export const outsideText = (className = ""): View<string, HTMLElement> => {
  const root = element("bdi", `text ${className}`.trim())
  return {
    root,
    update: (text) => {
      setText(root, text)
      const isLong = text.length > longest
      root.classList.toggle("long", isLong)
      root.classList.toggle("short", text.length <= unbroken)
      setAttribute(root, "tabindex", isLong ? "0" : undefined)
    }
  }
}

const place = (parent: Element, roots: ReadonlyArray<Element>): void => {
  const focused = document.activeElement
  let next = parent.firstElementChild
  for (const root of roots) {
    if (root === next) next = next.nextElementSibling
    else parent.insertBefore(root, next)
  }
  // To move an element takes the focus from it.
  if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true })
  }
}

/**
 * Shows a list of items in a parent. An item with the same key keeps its element. Keys may occur twice: labels of endpoints are cut to a
 * length, and two long ones may then be equal.
 */
export const list = <A>(
  parent: Element,
  keyOf: (item: A) => string,
  make: () => View<A>
): (items: ReadonlyArray<A>) => void => {
  let views = new Map<string, View<A>>()
  return (items) => {
    const shown = new Map<string, View<A>>()
    for (const item of items) {
      let key = keyOf(item)
      while (shown.has(key)) key += "'"
      const view = views.get(key) ?? make()
      view.update(item)
      shown.set(key, view)
    }
    for (const [key, { root }] of views) if (!shown.has(key)) root.remove()
    views = shown
    place(parent, Array.from(shown.values(), ({ root }) => root))
  }
}

/** A button that does something on this page. */
export const button = (text: string, run: () => void, className = ""): HTMLButtonElement => {
  const made = element("button", className, text)
  made.type = "button"
  made.addEventListener("click", run)
  return made
}

/** A list of which only the first items are shown until the reader asks for all. */
export const shortened = <A>(view: View<ReadonlyArray<A>>, most: number): View<ReadonlyArray<A>, HTMLElement> => {
  let items: ReadonlyArray<A> = []
  let isWhole = false
  const more = button("", () => {
    isWhole = !isWhole
    show()
  }, "more")
  const show = () => {
    view.update(isWhole ? items : items.slice(0, most))
    setHidden(more, items.length <= most)
    setText(more, isWhole ? `Show the first ${most}` : `Show all ${items.length}`)
    setAttribute(more, "aria-expanded", String(isWhole))
  }
  return {
    root: element("div", "", view.root, more),
    update: (next) => {
      items = next
      show()
    }
  }
}

/** A cell of a table and how it shows an item. */
export interface Column<A> {
  readonly title: string
  readonly className?: string
  readonly cell: () => View<A>
}

/** A cell with a text of the program's own. */
export const plain = <A>(textOf: (item: A) => string) => (): View<A> => {
  const root = element("span")
  return { root, update: (item) => setText(root, textOf(item)) }
}

/** A cell with a text from outside, or a dash if there is none. */
export const outside = <A>(textOf: (item: A) => string | undefined) => (): View<A> => {
  const { root, update } = outsideText()
  return { root, update: (item) => update(textOf(item) ?? "–") }
}

/**
 * A table. On a narrow screen each row becomes a block whose cells show their titles; the roles keep it a table for screen readers, which
 * would lose it by the change of `display`.
 */
export const table = <A>(options: {
  readonly caption: string
  readonly columns: ReadonlyArray<Column<A>>
  readonly keyOf: (item: A) => string
  /** Without it, each cell of a row that is a block shows the title of its column. */
  readonly className?: string
  readonly rowClass?: (item: A) => string
}): View<ReadonlyArray<A>> => {
  const { caption, className, columns, keyOf, rowClass } = options
  const body = element("tbody")
  const titles = columns.map(({ className, title }) => {
    const cell = element("th", className, title)
    cell.scope = "col"
    cell.setAttribute("role", "columnheader")
    return cell
  })
  const titleRow = element("tr", "", ...titles)
  const root = element("table", className, element("caption", "unseen", caption), element("thead", "", titleRow), body)
  root.setAttribute("role", "table")
  titleRow.setAttribute("role", "row")
  return { root, update: list(body, keyOf, () => row(columns, rowClass)) }
}

const row = <A>(columns: ReadonlyArray<Column<A>>, rowClass: ((item: A) => string) | undefined): View<A> => {
  const root = element("tr")
  root.setAttribute("role", "row")
  const cells = columns.map(({ cell, className, title }) => {
    const view = cell()
    const around = element("td", className, view.root)
    around.dataset["title"] = title
    around.setAttribute("role", "cell")
    root.append(around)
    return view
  })
  return {
    root,
    update: (item) => {
      if (rowClass !== undefined && root.className !== rowClass(item)) root.className = rowClass(item)
      for (const { update } of cells) update(item)
    }
  }
}
