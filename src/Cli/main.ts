#!/usr/bin/env node
/**
 * The `sluice` executable.
 *
 * @since 0.1.0
 */
import { launch } from "./Launch.ts"

await launch("sluice", () => import("./Sluice.ts"))
