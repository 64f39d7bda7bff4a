/**
 * In a project of its own, `Agents.ts` itself takes the place of this file: see README.md. The platform makes no route of a file
 * whose name begins with an underscore.
 */
export * from "../../agents/Agents.ts"
