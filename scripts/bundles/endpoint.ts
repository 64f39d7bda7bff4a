// A function that reads an address.
import * as Endpoint from "effect-sluice/Endpoint"

export const program = Endpoint.parse("db.internal:5432")
