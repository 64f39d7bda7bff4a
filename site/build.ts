/**
 * Builds the site into .vitepress/dist: the pages, the reference, and a check of every link.
 *
 * Usage: node build.ts
 */
import * as Path from "node:path"
import { build } from "vitepress"
import { writeReference } from "./lib/api/Reference.ts"
import { deadLinks } from "./lib/Check.ts"
import { base, content, out, repository, root, site } from "./lib/Site.ts"
import { stage } from "./lib/Stage.ts"

if (!await writeReference(root, Path.join(content, "api"), repository)) process.exit(1)
stage(root, site, content)
await build(site)
const dead = deadLinks(out, base)
for (const link of dead) console.error(`dead link: ${link}`)
if (dead.length > 0) process.exit(1)
