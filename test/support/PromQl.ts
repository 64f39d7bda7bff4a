/**
 * Finds the selectors and labels of PromQL expressions, and the series of a page in Prometheus's text format that they select. It
 * reads as much of the language as the board and the alerts use, and computes nothing.
 */

export interface Matcher {
  readonly label: string
  readonly operator: string
  readonly value: string
}

/** `metric{label="value"}`. */
export interface Selector {
  readonly metric: string
  readonly matchers: ReadonlyArray<Matcher>
}

export interface Query {
  readonly selectors: ReadonlyArray<Selector>
  /** The labels by which the expression groups or joins. */
  readonly labels: ReadonlyArray<string>
}

const token = /"(?:[^"\\]|\\.)*"|\$?[A-Za-z_:][\w:]*|\d[\w.]*|=~|!~|!=|==|>=|<=|[^\s\w]/g

const operators = new Set(["and", "or", "unless", "bool", "offset"])
const clauses = new Set(["by", "without", "on", "ignoring", "group_left", "group_right"])

const isName = (token: string | undefined): token is string => token !== undefined && /^[A-Za-z_:]/.test(token)

/** The tokens from an opening bracket to the closing one. */
const within = (tokens: ReadonlyArray<string>, open: number, close: string): ReadonlyArray<string> =>
  tokens.slice(open + 1, tokens.indexOf(close, open))

const matchersIn = (tokens: ReadonlyArray<string>): ReadonlyArray<Matcher> =>
  tokens.flatMap((operator, index) => {
    if (!["=", "=~", "!=", "!~"].includes(operator)) return []
    return [{ label: tokens[index - 1] ?? "", operator, value: JSON.parse(tokens[index + 1] ?? "\"\"") }]
  })

/** What an expression selects. */
export const parse = (expr: string): Query => {
  // What stands in square brackets is a duration.
  const tokens = expr.replaceAll(/\[[^\]]*\]/g, "").match(token) ?? []
  const selectors: Array<Selector> = []
  const labels: Array<string> = []
  for (let index = 0; index < tokens.length; index++) {
    const name = tokens[index]
    if (!isName(name) || operators.has(name)) continue
    const next = tokens[index + 1]
    if (clauses.has(name)) {
      // `group_left` may have no list.
      const listed = next === "(" ? within(tokens, index + 1, ")") : []
      labels.push(...listed.filter(isName))
      if (next === "(") index += listed.length + 2
    } else if (next === "{") {
      const matchers = within(tokens, index + 1, "}")
      selectors.push({ metric: name, matchers: matchersIn(matchers) })
      index += matchers.length + 2
    } else if (next !== "(" && !clauses.has(next ?? "")) {
      selectors.push({ metric: name, matchers: [] })
    }
  }
  return { selectors, labels }
}

export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** The series of a page in Prometheus's text format, with the labels that a scrape adds. */
export const seriesOf = (page: string, added: Readonly<Record<string, string>> = {}): ReadonlyArray<Series> =>
  page.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    if (name === undefined) return []
    const pairs = Array.from(
      labels.matchAll(/([\w]+)="((?:[^"\\]|\\.)*)"/g),
      ([, label = "", value = ""]) => [label, value.replaceAll(/\\(.)/g, (_, one) => one === "n" ? "\n" : one)] as const
    )
    return [{ name, labels: { ...added, ...Object.fromEntries(pairs) }, value: Number(value) }]
  })

const matches = ({ labels }: Series, { label, operator, value }: Matcher): boolean => {
  const actual = labels[label] ?? ""
  const isEqual = operator.endsWith("~") ? new RegExp(`^(?:${value})$`).test(actual) : actual === value
  return operator.startsWith("!") ? !isEqual : isEqual
}

/** The series that a selector selects. */
export const select = (all: ReadonlyArray<Series>, { matchers, metric }: Selector): ReadonlyArray<Series> =>
  all.filter((series) => series.name === metric && matchers.every((matcher) => matches(series, matcher)))

/**
 * What is wrong with an expression on these series: selectors without a series, and labels that no series of the expression has.
 * `shown` are the labels that the text beside the expression uses.
 */
export const problemsOf = (
  expr: string,
  all: ReadonlyArray<Series>,
  shown: ReadonlyArray<string> = []
): ReadonlyArray<string> => {
  const { labels, selectors } = parse(expr)
  const selected = selectors.map((selector) => [selector, select(all, selector)] as const)
  const known = new Set(selected.flatMap(([, series]) => series.flatMap(({ labels }) => Object.keys(labels))))
  return [
    ...(selectors.length === 0 ? [`${expr}: selects nothing`] : []),
    ...selected.filter(([, series]) => series.length === 0).map(([{ matchers, metric }]) =>
      `no series of ${metric}{${matchers.map(({ label, operator, value }) => label + operator + value).join()}}`
    ),
    ...[...labels, ...shown].filter((label) => !known.has(label)).map((label) => `no label ${label}: ${expr}`)
  ]
}
