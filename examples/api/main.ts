/**
 * Serves the API until a signal, and closes everything then: the server first, its pools after the requests under way.
 */
import * as Main from "effect-sluice/Main"
import * as Api from "./Api.ts"

Main.launch(Api.layer)
