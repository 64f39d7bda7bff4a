/**
 * A load of requests through one pool, against a server that misbehaves on schedule, with a report of what both sides saw.
 *
 * Run it with `npm run demo`; docs/start/demo.md explains the report and the flags.
 */
import { launch } from "../../src/Cli/Launch.ts"

await launch("sluice demo", () => import("./Demo.ts"))
