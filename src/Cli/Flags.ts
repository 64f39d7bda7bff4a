/**
 * Flags and values that several subcommands take.
 *
 * @since 0.1.0
 */
import * as Flag from "effect/cli/Flag"
import * as Result from "effect/Result"
import * as Endpoint from "../Resource/Endpoint.ts"

/** A flag that is given or not. */
export const flag = (name: string, description: string): Flag.Flag<boolean> =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withDescription(description))

/** The endpoint that a text names. It throws what {@link endpointRule} explains. */
export const parseEndpoint = (text: string): Endpoint.Endpoint => Result.getOrThrow(Endpoint.parseResult(text))

/** The rule that a text breaks which is no endpoint: the command line's own message quotes the text before it. */
export const endpointRule = (error: unknown): string =>
  error instanceof Endpoint.EndpointError ? `${error.rule} at position ${error.position}` : String(error)
