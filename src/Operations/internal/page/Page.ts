/**
 * The status page: one document with its style and its script.
 *
 * @since 0.1.0
 */
import { markup } from "./Markup.ts"
import { script } from "./Script.ts"
import { styles } from "./Styles.ts"

/**
 * The HTML of the status page.
 *
 * Its script and its style carry the nonce, and it has no inline style and no inline handler, so that a content policy can refuse all
 * others. It requests `pools.json` relative to its own address, and control endpoints such as `POST pools/NAME/suspend`. It has no data
 * of the program: what the program answers becomes text, never markup. Without `hasControls` it shows no action, and says why.
 */
export const pageHtml = (nonce: string, hasControls: boolean): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>sluice</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${styles}</style>
</head>
<body data-state="connecting" data-controls="${hasControls ? "on" : "off"}">
${markup}
<script nonce="${nonce}" type="module">${script}</script>
</body>
</html>
`
