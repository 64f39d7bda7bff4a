/**
 * Recognizes errors that are answers of a server, which is therefore there: PostgreSQL's SQLSTATEs, the error numbers of MySQL, and the
 * replies of Redis.
 *
 * @since 0.1.0
 */
import { namesOf } from "../internal/SafeRead.ts"
import * as Errors from "./internal/ErrorClassifiers.ts"
import * as Codes from "./internal/ErrorCodes.ts"

/**
 * What an answer is about.
 *
 * - `Statement`: one statement or command, such as a violated constraint, a deadlock, or a statement that the server has cancelled. Others
 *   are served.
 * - `Server`: the server refuses requests of any kind, or all that write: it is starting, full, busy, or a replica.
 */
export type ServerAnswer = "Statement" | "Server"

/** Codes of a single statement among those that `ErrorCodes` calls `Transient`. */
const ofStatement = Codes.words("55P03 55006 55000 MYSQL_1205 MYSQL_1213 MYSQL_1614 MYSQL_3572 TRYAGAIN")

const isSqlState = (code: string): boolean => /^(?=.*\d)[0-9A-Z]{5}$/.test(code)

/** MySQL's own numbers. Those from 2000 to 2999 are of its clients. */
const isOfMysql = (code: string): boolean => /^MYSQL_[^2]\d{3}$/.test(code)

const isReply = (node: object): boolean => namesOf(node).some((name) => Codes.redisReplyNames.has(name))

/** A login that was refused, and the name of a database that does not exist: the server lets no session begin. */
const isLogin = (code: string): boolean => /^(28|3D)/.test(code) || /^MYSQL_(1044|1045|1049|1129|1130|1698)$/.test(code)

const meaningOf = (code: string, failureClass: Codes.FailureClass): ServerAnswer | undefined => {
  if (failureClass === "Ambiguous") return undefined
  if (ofStatement.has(code) || code.startsWith("40")) return "Statement"
  return failureClass === "Fatal" && !isLogin(code) ? "Statement" : "Server"
}

/** The answer in an error or in what it wraps, by the outermost code. `undefined`: no server has answered, as far as the error shows. */
export const answerIn = (error: unknown): ServerAnswer | undefined =>
  Errors.firstDefined(Errors.levelsOf(error).flat(), (node) => {
    const failure = Errors.recognise(node, undefined)
    const code = failure?.code
    if (failure === undefined || code === undefined) return undefined
    const isAnswer = isSqlState(code) || isOfMysql(code) || isReply(node)
    return { answer: isAnswer ? meaningOf(code, failure.class) : undefined }
  })?.answer
