import { multiplexed } from "./clients/Postgres.ts"
import { contract } from "./Contract.ts"

await contract(multiplexed, ["a borrow", "a request", "a transaction", "a savepoint", "a stream", "a listener"])
