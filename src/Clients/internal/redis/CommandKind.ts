/**
 * Which connection a command needs.
 *
 * @since 0.1.0
 */

/**
 * What a command does to its connection:
 *
 * - `Plain`: nothing that another command notices.
 * - `Blocking`: it may hold up every command behind it.
 * - `Transaction`: it begins, watches for, or ends a transaction of the connection.
 * - `Session`: it changes what the connection is: its user, database, protocol, name or subscriptions.
 */
export type CommandKind = "Plain" | "Blocking" | "Transaction" | "Session"

const words = (text: string): ReadonlyArray<string> => text.split(" ")

const kinds: ReadonlyMap<string, CommandKind> = new Map([
  ...words("BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP").map((name) => [name, "Blocking"] as const),
  ...words("MULTI EXEC DISCARD WATCH UNWATCH").map((name) => [name, "Transaction"] as const),
  ...words(
    "SELECT AUTH HELLO RESET QUIT MONITOR SYNC PSYNC READONLY READWRITE ASKING " +
      "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE"
  ).map((name) => [name, "Session"] as const)
])

/** Subcommands of `CLIENT` that change its connection. */
const clientState = new Set(words("REPLY TRACKING CACHING SETNAME SETINFO NO-EVICT NO-TOUCH"))

const streamReads = new Set(words("XREAD XREADGROUP"))

/** Whether a read of streams waits for entries. What follows `STREAMS` is keys. */
const mayBlock = (args: ReadonlyArray<string>): boolean => {
  const options = args.map((arg) => arg.toUpperCase())
  const keys = options.indexOf("STREAMS")
  return options.slice(0, keys < 0 ? options.length : keys).includes("BLOCK")
}

/** The kind of a command. Names are compared without regard to case, as the server does. */
export const kindOf = (command: string, args: ReadonlyArray<string>): CommandKind => {
  const name = command.toUpperCase()
  const kind = kinds.get(name)
  if (kind !== undefined) return kind
  if (streamReads.has(name)) return mayBlock(args) ? "Blocking" : "Plain"
  if (name === "CLIENT" && clientState.has(args[0]?.toUpperCase() ?? "")) return "Session"
  return "Plain"
}
