/**
 * The folders of the site, and what its pages are made of.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { repositoryOf } from "./Repository.ts"

/** The package of the site. */
export const site = Path.join(import.meta.dirname, "..")

/** The root of the repository. */
export const root = Path.join(site, "..")

/** What VitePress reads. */
export const content = Path.join(site, ".content")

/** What it writes. */
export const out = Path.join(site, ".vitepress/dist")

/** The path below which the site is served, with a slash at both ends: `DOCS_BASE`, by default `/`. */
export const base = process.env["DOCS_BASE"] ?? "/"

export const manifest = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))

export const repository = repositoryOf(manifest)
