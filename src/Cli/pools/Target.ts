/**
 * Where a program is asked for its snapshot: the address that an operator types.
 *
 * @since 0.1.0
 */

/** The address of the status page or of its JSON, with or without `http://`. Throws the rule that the text breaks. */
export const parseTarget = (text: string): URL => {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  let url: URL
  try {
    url = new URL(hasScheme ? text : `http://${text}`)
  } catch {
    throw new Error("host:port or a URL such as http://127.0.0.1:9464")
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Error("a URL that begins with http:// or https://")
  }
  if (url.username !== "" || url.password !== "") {
    throw new Error("a URL without credentials: use --token or SLUICE_TOKEN")
  }
  if (url.search !== "" || url.hash !== "") throw new Error("a URL without ? and #")
  // Paths are relative to the page, which may stand below a prefix.
  const path = url.pathname.replace(/\/pools\.json$/, "/")
  url.pathname = path.endsWith("/") ? path : `${path}/`
  return url
}

/** What is asked of a pool. */
export type Action = "evict" | "suspend" | "resume" | "drain"

/** What is asked of which pool. */
export interface Request {
  readonly action: Action
  readonly pool: string
  /** For `evict`: the text of the endpoint whose connections are evicted alone. */
  readonly endpoint: string | undefined
}

/** The address of the snapshot. */
export const snapshotUrl = (target: URL): URL => new URL("pools.json", target)

/** The address of a control endpoint. */
export const controlUrl = (target: URL, { action, endpoint, pool }: Request): URL => {
  const url = new URL(`pools/${encodeURIComponent(pool)}/${action}`, target)
  if (endpoint !== undefined) url.searchParams.set("endpoint", endpoint)
  return url
}
