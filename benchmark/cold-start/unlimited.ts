// Without readings.
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { functionWith } from "./function.ts"

export const handler = functionWith(ResourceMonitor.layerUnlimited)
