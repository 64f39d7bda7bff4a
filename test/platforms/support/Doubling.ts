import { make } from "../../support/TcpServer.ts"

/** A JSON-RPC server that doubles numbers. */
export const doubling = make((socket) => {
  let received = ""
  socket.on("data", (data) => {
    const lines = (received + data.toString()).split("\n")
    received = lines.pop() ?? ""
    for (const { id, params } of lines.map((line) => JSON.parse(line))) {
      socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, result: params.n * 2 })}\n`)
    }
  })
})
