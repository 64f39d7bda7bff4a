/**
 * The name of a session at PostgreSQL, with the token of its permit.
 *
 * @since 0.1.0
 */

/** The server cuts longer names. */
const longest = 63

/**
 * Appends the token of a permit to the name of a session: `app [sluice:17]`. The name is shortened, so that the token is complete. Without
 * a token, the name stays as it is.
 */
export const withToken = (name: string | undefined, token: string | undefined): string | undefined => {
  if (token === undefined) return name
  const mark = `[sluice:${token}]`
  // The server replaces each byte of other characters by a question mark, so bytes are counted.
  let start = name ?? ""
  while (start !== "" && Buffer.byteLength(`${start} ${mark}`) > longest) {
    start = Array.from(start).slice(0, -1).join("")
  }
  return start === "" ? mark : `${start} ${mark}`
}
