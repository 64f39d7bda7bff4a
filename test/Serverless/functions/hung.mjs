// The runtime client loads JavaScript.
import * as Lambda from "effect-sluice/Lambda"
import { hung } from "./hung.ts"

export const handler = hung()
await Lambda.ready()
