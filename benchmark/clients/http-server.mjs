/** A server of HTTP for the benchmark, in a process of its own: it says its port to its parent, and ends with it. */
import { createServer } from "node:http"

const server = createServer((_, response) => response.end("hello"))
server.listen(0, "127.0.0.1", () => process.send?.(server.address().port))
process.on("disconnect", () => process.exit(0))
