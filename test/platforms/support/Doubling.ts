import { make } from "../../support/TcpServer.ts"

/** A JSON-RPC server that doubles numbers, after so many milliseconds. */
export const doublingAfter = (millis: number) =>
  make((socket) => {
    let received = ""
    const answer = (id: unknown, n: number) =>
      void socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, result: n * 2 })}\n`)
    socket.on("data", (data) => {
      const lines = (received + data.toString()).split("\n")
      received = lines.pop() ?? ""
      for (const { id, params } of lines.map((line) => JSON.parse(line))) setTimeout(answer, millis, id, params.n)
    })
  })

/** A JSON-RPC server that doubles numbers. */
export const doubling = doublingAfter(0)
