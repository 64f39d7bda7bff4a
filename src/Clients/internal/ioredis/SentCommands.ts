/**
 * What the commands of a borrow leave in a client of ioredis.
 *
 * @since 0.1.0
 */
import type { Redis } from "ioredis"
import { kindOf } from "../redis/CommandKind.ts"
import { after, noTransaction, type Transaction } from "../redis/Transaction.ts"

interface State {
  readonly transaction: Transaction
  /** A command has changed the user, the database or the mode of the connection. */
  readonly isChanged: boolean
}

const states = new WeakMap<Redis, State>()

const initial: State = { transaction: noTransaction, isChanged: false }

const next = (state: State, name: string, args: ReadonlyArray<unknown>): State => {
  switch (kindOf(name, args.map(String))) {
    case "Transaction":
      return { ...state, transaction: after(state.transaction, name) }
    case "Session":
      return { ...state, isChanged: true }
    default:
      return state
  }
}

/** Looks at each command that is sent from now on. Pipelines and transactions of ioredis send by this function, too. */
export const follow = (client: Redis): void => {
  const sendCommand = client.sendCommand.bind(client)
  states.set(client, initial)
  client.sendCommand = (command, stream) => {
    states.set(client, next(states.get(client) ?? initial, command.name, command.args))
    return sendCommand(command, stream)
  }
}

/** Whether the next borrower finds the client as the first one did. */
export const isUnchanged = (client: Redis): boolean => {
  const { isChanged, transaction } = states.get(client) ?? initial
  return !isChanged && !transaction.isOpen && !transaction.isWatching
}
