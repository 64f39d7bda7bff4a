/**
 * Serves the site on 127.0.0.1 and shows each change of a page at once. The reference is written once, at the start.
 *
 * Usage: node dev.ts
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createServer } from "vitepress"
import { writeReference } from "./lib/api/Reference.ts"
import { content, repository, root, site } from "./lib/Site.ts"
import { stage } from "./lib/Stage.ts"

await writeReference(root, Path.join(content, "api"), repository)
stage(root, site, content)
// An editor writes a file in several steps, so that a page may be missing for a moment.
const restage = () => {
  try {
    stage(root, site, content)
  } catch (error) {
    console.error(error)
  }
}
Fs.watch(Path.join(root, "docs"), { recursive: true }, restage)
for (const name of ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]) Fs.watch(Path.join(root, name), restage)
const server = await createServer(site)
await server.listen()
server.printUrls()
