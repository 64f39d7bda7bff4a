// The runtime client loads JavaScript. Which function it is, and whether the registration is waited for, the test says.
import * as Lambda from "effect-sluice/Lambda"
import { functions } from "./functions.ts"

export const handler = functions[process.env.FUNCTION]()
if (process.env.READY !== "no") await Lambda.ready()
