import { adapter } from "./clients/Postgres.ts"
import { contract } from "./Contract.ts"

await contract(adapter, ["a borrow", "a request", "a transaction", "a savepoint", "a stream", "a listener"])
