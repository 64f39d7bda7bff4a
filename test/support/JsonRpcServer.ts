/**
 * A JSON-RPC server for tests, and what the tests of its client have in common.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import type * as Net from "node:net"
import * as TcpServer from "./TcpServer.ts"

export interface Message {
  readonly id?: number | string
  readonly method?: string
  readonly params?: { readonly [key: string]: unknown }
  readonly error?: { readonly code: number }
  readonly result?: unknown
}

export type Handler = (message: Message, socket: Net.Socket) => void

export const line = (message: object): string => JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n"

export const answer: Handler = ({ id, params }, socket) => {
  if (id !== undefined) socket.write(line({ id, result: params ?? null }))
}

/** A server that hands each message of a client to `handle`. */
export const rpcServer = (handle: Handler, options?: Net.ServerOpts) =>
  TcpServer.make((socket) => {
    // Otherwise the second of two writes waits for 40 ms, until the client's kernel acknowledges the first.
    socket.setNoDelay()
    // A long line comes in many pieces, which are put together once.
    let pieces: Array<string> = []
    socket.setEncoding("utf8")
    socket.on("data", (data) => {
      const [first = "", ...others] = String(data).split("\n")
      pieces.push(first)
      for (const other of others) {
        const text = pieces.join("")
        pieces = [other]
        handle(JSON.parse(text), socket)
      }
    })
  }, options)

export const mcp = { clientName: "test", clientVersion: "1.0.0" }

export const initializeResult = {
  protocolVersion: "2025-06-18",
  capabilities: { tools: {} },
  serverInfo: { name: "server", version: "2" }
}

/** An MCP server: the handshake is answered, all else is handed to `handle`. */
export const mcpServer = (handle: Handler) =>
  rpcServer((message, socket) => {
    if (message.method === "initialize") socket.write(line({ id: message.id, result: initializeResult }))
    else handle(message, socket)
  })

/** Waits in real time, whatever the clock of the test. */
export const eventually = TcpServer.eventually

export const fork = Effect.forkChild({ startImmediately: true })

/** Why an effect fails. */
export const reasonOf = <A>(
  effect: Effect.Effect<A, JsonRpcClient.JsonRpcError>
): Effect.Effect<JsonRpcClient.JsonRpcErrorReason> =>
  Effect.match(effect, {
    onSuccess: (value) => assert.fail(`it succeeded with ${JSON.stringify(value)}`),
    onFailure: (error) => error.reason
  })
