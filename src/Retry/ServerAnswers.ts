/**
 * Recognizes errors that are answers of a server, which is therefore there: PostgreSQL's SQLSTATEs, the error numbers of MySQL, and the
 * replies of Redis.
 *
 * @since 0.1.0
 */
import { namesOf, readString } from "../internal/SafeRead.ts"
import * as Errors from "./internal/ErrorClassifiers.ts"
import * as Codes from "./internal/ErrorCodes.ts"

/**
 * What an answer is about.
 *
 * - `Statement`: one statement or command, such as a violated constraint, a deadlock, or a statement that the server has cancelled. Others
 *   are served.
 * - `Server`: the server refuses requests of any kind, or all that write: it is starting, full, busy, or a replica, or the login is missing.
 */
export type ServerAnswer = "Statement" | "Server"

/** Codes of a single statement among those that `ErrorCodes` calls `Transient`. */
const ofStatement = Codes.words("55P03 55006 55000 MYSQL_1205 MYSQL_1213 MYSQL_1614 MYSQL_3572 TRYAGAIN")

/**
 * Refusals of every request among the codes that `ErrorCodes` calls `Fatal`: a client of Redis that has not logged in, a node of a Galera
 * cluster that is not ready (1047), a password that has expired (1820, 1862), a server in offline mode (3032).
 */
const ofServer = Codes.words("NOAUTH WRONGPASS DENIED MYSQL_1047 MYSQL_1820 MYSQL_1862 MYSQL_3032")

/** Prisma's own codes, such as `P1001`, look like a SQLSTATE. Those of PL/pgSQL begin with `P0`. */
const isSqlState = (code: string): boolean => /^(?=.*\d)(?!P[^0])[0-9A-Z]{5}$/.test(code)

/** MySQL's own numbers. Those from 2000 to 2999 are of its clients. */
const isOfMysql = (code: string): boolean => /^MYSQL_[^2]\d{3}$/.test(code)

const isReply = (node: object): boolean => namesOf(node).some((name) => Codes.redisReplyNames.has(name))

/** A login that was refused, and the name of a database that does not exist: the server lets no session begin. */
const isLogin = (code: string): boolean => /^(28|3D)/.test(code) || /^MYSQL_(1044|1045|1049|1129|1130|1698)$/.test(code)

/** ProxySQL and TiDB, which report with these numbers that a server behind them does not answer, and internal errors of PostgreSQL. */
const isBehind = (code: string): boolean => /^(MYSQL_9|XX)/.test(code)

/** After such an error PostgreSQL and pgbouncer close the connection. */
const endsSession = (node: object): boolean => /^(FATAL|PANIC)$/.test(readString(node, "severity") ?? "")

const isRefusal = (code: string): boolean => ofServer.has(code) || isLogin(code) || isBehind(code)

const meaningOf = (node: object, code: string, failureClass: Codes.FailureClass): ServerAnswer | undefined => {
  if (failureClass === "Ambiguous") return undefined
  if (endsSession(node)) return "Server"
  if (ofStatement.has(code) || code.startsWith("40")) return "Statement"
  return failureClass === "Fatal" && !isRefusal(code) ? "Statement" : "Server"
}

/** The answer in an error or in what it wraps, by the outermost code. `undefined`: no server has answered, as far as the error shows. */
export const answerIn = (error: unknown): ServerAnswer | undefined =>
  Errors.firstDefined(Errors.levelsOf(error).flat(), (node) => {
    const failure = Errors.recognise(node, undefined)
    const code = failure?.code
    if (failure === undefined || code === undefined) return undefined
    const isAnswer = isSqlState(code) || isOfMysql(code) || isReply(node)
    return { answer: isAnswer ? meaningOf(node, code, failure.class) : undefined }
  })?.answer
