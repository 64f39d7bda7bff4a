/**
 * Certificates for TLS servers of tests, made by openssl when they are first asked for, so that no key is kept in the sources.
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

export interface Authority {
  /** Its own certificate, for clients that trust it. */
  readonly cert: string
  /** A certificate for a server with this name, signed by it. */
  readonly issue: (name: string) => Certificate
}

const ellipticKey = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]

/** An authority of its own, which nobody trusts unless told to. */
export const authority = (name: string): Authority => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-authority-"))
  const path = (file: string) => Path.join(folder, file)
  const text = (file: string) => Fs.readFileSync(path(file), "utf8")
  const openssl = (own: string, ...args: ReadonlyArray<string>) => {
    const files = ["-keyout", path(`${own}.key`), "-out", path(`${own}.pem`)]
    ChildProcess.execFileSync("openssl", ["req", "-x509", ...ellipticKey, ...files, ...args], { stdio: "ignore" })
  }
  openssl("authority", "-subj", `/CN=${name}`, "-addext", "keyUsage=critical,keyCertSign")
  const cert = text("authority.pem")
  const signed = ["-CA", path("authority.pem"), "-CAkey", path("authority.key")]
  const issued = new Map<string, Certificate>()
  const issue = (server: string): Certificate => {
    const known = issued.get(server)
    if (known !== undefined) return known
    openssl(server, "-subj", `/CN=${server}`, "-addext", `subjectAltName=DNS:${server}`, ...signed)
    const certificate = { key: text(`${server}.key`), cert: text(`${server}.pem`) }
    issued.set(server, certificate)
    return certificate
  }
  process.once("exit", () => Fs.rmSync(folder, { recursive: true, force: true }))
  return { cert, issue }
}

let made: Certificate | undefined

/** Signed by itself, so that it serves as its own `ca`. */
export const certificate = (): Certificate => made ??= make()
