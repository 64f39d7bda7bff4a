import { adapter } from "./clients/TcpConnection.ts"
import { contract } from "./Contract.ts"

await contract(adapter, ["a borrow", "a request"])
