/**
 * Flags and values that several commands share.
 *
 * @since 0.1.0
 */
import * as Flag from "effect/cli/Flag"
import * as Result from "effect/Result"
import * as Endpoint from "../Resource/Endpoint.ts"

/** A flag without a value. */
export const flag = (name: string, description: string): Flag.Flag<boolean> =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withDescription(description))

/** Parses an endpoint. Throws an error for {@link endpointRule}. */
export const parseEndpoint = (text: string): Endpoint.Endpoint => Result.getOrThrow(Endpoint.parseResult(text))

/** The rule that an invalid endpoint breaks. The message quotes the endpoint before this text. */
export const endpointRule = (error: unknown): string =>
  error instanceof Endpoint.EndpointError ? `${error.rule} at position ${error.position}` : String(error)
