import { adapter } from "./clients/Http.ts"
import { contract } from "./Contract.ts"

await contract(adapter, ["a request", "a stream"])
