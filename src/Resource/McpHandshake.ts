/**
 * The first two messages of an MCP client (Model Context Protocol, revision 2025-06-18, "Lifecycle").
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { cut } from "../internal/Printable.ts"
import { malformed, type MalformedMessage } from "./JsonRpcError.ts"

/**
 * Who we say we are in the MCP handshake.
 *
 * @category models
 * @since 0.1.0
 */
export interface McpOptions {
  /** The client's name, at least one character. */
  readonly clientName: string
  /** The client's version, at least one character. */
  readonly clientVersion: string
  /** The revision of MCP that we ask for. The server may answer with another one. @default "2025-06-18" */
  readonly protocolVersion?: string | undefined
  /** What we can do for the server, such as `{ roots: {} }`. @default {} */
  readonly capabilities?: object | undefined
}

const InitializeResult = Schema.Struct({
  protocolVersion: Schema.String,
  capabilities: Schema.Record(Schema.String, Schema.Unknown),
  serverInfo: Schema.Struct({ name: Schema.String, version: Schema.String }),
  instructions: Schema.optionalKey(Schema.String)
})

/**
 * What an MCP server said about itself in the handshake.
 *
 * @category models
 * @since 0.1.0
 */
export interface McpServer {
  /** The revision of MCP that the server speaks. It need not be the one that was asked for. */
  readonly protocolVersion: string
  readonly capabilities: { readonly [capability: string]: unknown }
  readonly serverInfo: { readonly name: string; readonly version: string }
  readonly instructions?: string
}

/** The params of `initialize`. */
export const initializeParams = (options: McpOptions): object => ({
  protocolVersion: options.protocolVersion ?? "2025-06-18",
  capabilities: options.capabilities ?? {},
  clientInfo: { name: options.clientName, version: options.clientVersion }
})

const decode = Schema.decodeUnknownResult(InitializeResult)

/** `JSON.parse` reads any depth, but writing JSON and formatting an issue recurse and can run out of stack. */
const orElse = (make: () => string, fallback: string): string => {
  try {
    return make()
  } catch {
    return fallback
  }
}

const explain = (error: Schema.SchemaError): string =>
  cut(orElse(() => error.message.replace(/\s*\n\s*/g, " "), "its nesting is too deep"), 200)

/** What the server's answer to `initialize` says. Fields that we do not know are left out. */
export const decodeInitialize = (result: unknown): Result.Result<McpServer, MalformedMessage> =>
  Result.mapError(
    decode(result),
    (error) =>
      malformed(
        orElse(() => JSON.stringify(result), "nested too deeply to be quoted"),
        `answer initialize as MCP does (${explain(error)})`
      )
  )
