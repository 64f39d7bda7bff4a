/**
 * A certificate for TLS servers of tests, made by openssl when it is first asked for, so that no key is kept in the sources.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

export interface Certificate {
  readonly key: string
  readonly cert: string
}

/** The name that the certificate is for. */
export const certifiedName = "service.test"

const make = (): Certificate => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-certificate-"))
  const [key, cert] = [Path.join(folder, "key.pem"), Path.join(folder, "cert.pem")]
  const subject = ["-subj", `/CN=${certifiedName}`, "-addext", `subjectAltName=DNS:${certifiedName}`]
  const files = ["-nodes", "-keyout", key, "-out", cert, "-days", "2"]
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
  ChildProcess.execFileSync("openssl", ["req", "-x509", ...kind, ...files, ...subject], { stdio: "ignore" })
  const certificate = { key: Fs.readFileSync(key, "utf8"), cert: Fs.readFileSync(cert, "utf8") }
  Fs.rmSync(folder, { recursive: true })
  return certificate
}

let made: Certificate | undefined

/** Signed by itself, so that it serves as its own `ca`. */
export const certificate = (): Certificate => made ??= make()
