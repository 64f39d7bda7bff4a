/**
 * The first two messages of an MCP client (Model Context Protocol, revision 2025-06-18, "Lifecycle").
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { cut } from "../../../internal/Printable.ts"
import { malformed, type MalformedMessage, UnsupportedVersion } from "../../JsonRpcError.ts"

/**
 * This client's part of the MCP handshake.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface McpOptions {
  /** The client's name, at least one character. */
  readonly clientName: string
  /** The client's version, at least one character. */
  readonly clientVersion: string
  /** The revision of MCP to ask for. The server may answer with another one. @default "2025-06-18" */
  readonly protocolVersion?: string | undefined
  /**
   * The revisions that the server may answer with, in addition to the requested one. Any other revision fails the handshake
   * with `UnsupportedVersion`. This client behaves the same with all revisions so far, and refuses batches, which 2025-03-26
   * allows. @default 2024-11-05, 2025-03-26, 2025-06-18 and 2025-11-25
   */
  readonly supportedVersions?: ReadonlyArray<string> | undefined
  /** The capabilities that this client offers, such as `{ roots: {} }`. @default {} */
  readonly capabilities?: object | undefined
}

const InitializeResult = Schema.Struct({
  protocolVersion: Schema.String,
  capabilities: Schema.Record(Schema.String, Schema.Unknown),
  serverInfo: Schema.Struct({ name: Schema.String, version: Schema.String }),
  instructions: Schema.optionalKey(Schema.String)
})

/**
 * The information about an MCP server from the handshake.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface McpServer {
  /** The revision of MCP that the server uses, which may differ from the requested one. */
  readonly protocolVersion: string
  readonly capabilities: { readonly [capability: string]: unknown }
  readonly serverInfo: { readonly name: string; readonly version: string }
  readonly instructions?: string
}

const knownVersions = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]

const requestedVersion = (options: McpOptions): string => options.protocolVersion ?? "2025-06-18"

/** The params of `initialize`. */
export const initializeParams = (options: McpOptions): object => ({
  protocolVersion: requestedVersion(options),
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

const decodeServer = (result: unknown): Result.Result<McpServer, MalformedMessage> =>
  Result.mapError(
    decode(result),
    (error) =>
      malformed(
        orElse(() => JSON.stringify(result), "nested too deeply to be quoted"),
        `answer initialize as MCP does (${explain(error)})`
      )
  )

const supported = (options: McpOptions, server: McpServer): Result.Result<McpServer, UnsupportedVersion> => {
  const requested = requestedVersion(options)
  const versions = new Set([requested, ...options.supportedVersions ?? knownVersions])
  const answered = server.protocolVersion
  return versions.has(answered)
    ? Result.succeed(server)
    : Result.fail(new UnsupportedVersion({ requested, answered, supported: [...versions] }))
}

/** Decodes the server's answer to `initialize`. Unknown fields are left out. */
export const decodeInitialize = (
  options: McpOptions,
  result: unknown
): Result.Result<McpServer, MalformedMessage | UnsupportedVersion> =>
  Result.flatMap(decodeServer(result), (server) => supported(options, server))
