/**
 * The answers of the routes. None of them is stored, framed, or taken for another type.
 *
 * @since 0.1.0
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { randomBytes } from "node:crypto"

const headers = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin"
}

/** A plain text. */
export const text = (body: string, contentType = "text/plain; charset=utf-8"): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(body, { headers, contentType })

/** JSON. A refused token is answered with the scheme that is expected. */
export const json = (body: unknown, status = 200): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(body, {
    status,
    headers: status === 401 ? { ...headers, "www-authenticate": "Bearer" } : headers
  })

/** What could not be done, and why. */
export const failed = (
  { error, message, status }: { readonly status: number; readonly error: string; readonly message: string }
): HttpServerResponse.HttpServerResponse => json({ error, message }, status)

/** A page that runs only the scripts and styles with its own nonce. */
export const page = (htmlWith: (nonce: string) => string): HttpServerResponse.HttpServerResponse => {
  const nonce = randomBytes(16).toString("base64")
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data:; ` +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  return HttpServerResponse.text(htmlWith(nonce), {
    headers: { ...headers, "content-security-policy": policy },
    contentType: "text/html; charset=utf-8"
  })
}

/** Adds the slash, relative to the path, so that a proxy may have changed the path. */
export const withSlash = (path: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.redirect(`${path.slice(path.lastIndexOf("/") + 1)}/`, { status: 308, headers })
