/**
 * The transaction of a connection, as its commands have left it.
 *
 * @since 0.1.0
 */

/** Whether keys are watched, or a transaction is open, so that the next command would be queued instead of run. */
export interface Transaction {
  readonly isOpen: boolean
  readonly isWatching: boolean
}

export const noTransaction: Transaction = { isOpen: false, isWatching: false }

/** The state after the server has answered a command of the kind `Transaction`. */
export const after = (state: Transaction, command: string): Transaction => {
  switch (command.toUpperCase()) {
    case "MULTI":
      return { ...state, isOpen: true }
    case "WATCH":
      return { ...state, isWatching: true }
    case "UNWATCH":
      // Inside of a transaction, this command is queued like any other.
      return state.isOpen ? state : noTransaction
    default:
      return noTransaction
  }
}
