/**
 * An HTTP API under load while its server fails on a schedule: a pool of this library side by side with what people use.
 *
 * Run it with `npm run demo`; docs/start/demo.md explains the report and the flags.
 */
import { launch } from "../../src/Cli/Launch.ts"

await launch("sluice demo", () => import("./Demo.ts"))
