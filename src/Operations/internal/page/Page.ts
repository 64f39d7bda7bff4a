/**
 * The status page.
 *
 * @since 0.1.0
 */

/**
 * The HTML of the status page.
 *
 * Its scripts and styles carry the nonce. It requests `pools.json` relative to its own address, with the token of the operator in
 * `Authorization: Bearer` if there is one: the answer is 401 if the token is wrong or missing, and 403 if none is configured. Control
 * endpoints are `POST pools/NAME/suspend` and the like, also relative.
 */
export const pageHtml = (nonce: string): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Operations</title>` +
  `<link rel="icon" href="data:,"></head><body><pre id="snapshot"></pre><script nonce="${nonce}">` +
  `setInterval(async () => { document.getElementById("snapshot").textContent = await (await fetch("pools.json")).text() }, 1000)` +
  `</script></body></html>\n`
