/** What users get as `ScriptedConnector` of `effect-sluice/Testing`. */
export * from "../../src/Testing/ScriptedConnector.ts"
