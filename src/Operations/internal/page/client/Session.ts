/**
 * Requests to the program. The token is kept in this page only, never in storage or in the address: it is gone with the tab.
 */
import type { Snapshot } from "../../../Snapshot.ts"

/** The program has answered, but not with what was asked for. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** No answer: the process has ended, or the way to it is broken. */
export class Unreachable extends Error {}

let token: string | undefined

export const hasToken = (): boolean => token !== undefined

/** Text that no header may have is a wrong token, which the program will say. */
export const setToken = (text: string): void => {
  token = text.trim() === "" ? undefined : text.trim()
}

/** A program that stands still accepts the request and does not answer. */
const patience = 5000

const messageIn = async (response: Response): Promise<string> => {
  try {
    const body: unknown = await response.json()
    if (typeof body === "object" && body !== null && "message" in body && typeof body.message === "string") {
      return body.message
    }
  } catch {
    // A proxy has answered with a page of its own.
  }
  return `the answer was ${response.status} ${response.statusText}`
}

const request = async (path: string, method: "GET" | "POST"): Promise<Response> => {
  const headers: Record<string, string> = { accept: "application/json" }
  if (token !== undefined) headers["authorization"] = `Bearer ${encodeURI(token)}`
  let response: Response
  try {
    response = await fetch(path, { method, headers, cache: "no-store", signal: AbortSignal.timeout(patience) })
  } catch (error) {
    const isTimeout = error instanceof DOMException && error.name === "TimeoutError"
    throw new Unreachable(isTimeout ? `No answer within ${patience / 1000} s` : "No connection")
  }
  if (response.ok) return response
  if (response.status === 401) token = undefined
  throw new Refused(response.status, await messageIn(response))
}

/** Paths are relative to the page, which may stand below a prefix or behind a proxy. */
export const snapshot = async (): Promise<Snapshot> => {
  const response = await request("pools.json", "GET")
  try {
    // The program that has sent the page sends its JSON: both have the same version.
    return await response.json() as Snapshot
  } catch {
    throw new Unreachable("The answer broke off")
  }
}

/** Runs a control endpoint. */
export const control = async (path: string): Promise<void> => {
  await request(path, "POST")
}
