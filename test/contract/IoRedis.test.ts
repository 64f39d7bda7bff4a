import { adapter } from "./clients/IoRedis.ts"
import { contract } from "./Contract.ts"

await contract(adapter, ["a borrow", "a request", "a listener"])
