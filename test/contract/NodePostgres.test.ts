import { adapter } from "./clients/NodePostgres.ts"
import { contract } from "./Contract.ts"

await contract(adapter, ["a borrow", "a request", "a transaction", "a listener"])
