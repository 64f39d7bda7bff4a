/**
 * A claim that is counted in a ledger.
 *
 * @since 0.1.0
 */
import type { Claim } from "./Claim.ts"
import * as Ledger from "./Ledger.ts"

const nothing = (): void => {}

/**
 * The claim of one opening. At each moment it has in the ledger exactly what it still stands for, so that whatever is said
 * twice, too late or never, the ledger is even when it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export class LedgerClaim implements Claim {
  readonly #ledger: Ledger.Ledger
  /** Descriptors that do not exist yet. */
  #descriptors: number
  /** Openings under way that stand for one of them each. */
  #takers = 0
  /** Whether the opening counts as a connection that the ledger does not have yet. */
  #isOpening: boolean
  #isOver = false

  /** Claims: the ledger has it from here on. */
  constructor(ledger: Ledger.Ledger, descriptors: number) {
    this.#ledger = ledger
    this.#descriptors = descriptors
    // A request for no descriptor only asks; it opens nothing.
    this.#isOpening = descriptors > 0
    ledger.admitted += 1
    Ledger.claim(ledger, descriptors)
    if (this.#isOpening) Ledger.begin(ledger)
  }

  descriptorOpened(): () => void {
    if (this.#isOver || this.#descriptors === 0) return nothing
    this.#descriptors -= 1
    Ledger.settle(this.#ledger, 1)
    let isUndone = false
    return () => {
      if (isUndone || this.#isOver) return
      isUndone = true
      this.#descriptors += 1
      Ledger.claim(this.#ledger, 1)
    }
  }

  take(): (() => void) | undefined {
    if (this.#isOver || this.#takers >= this.#descriptors) return undefined
    this.#takers += 1
    return () => void (this.#takers -= 1)
  }

  /**
   * Says that the connection of this opening is in the ledger, so that it is not counted as opening as well. The result is
   * whether it was: an opening has one connection, and one in another monitor's ledger is not its own.
   */
  connectionRecorded(ledger: Ledger.Ledger): boolean {
    if (this.#isOver || !this.#isOpening || ledger !== this.#ledger) return false
    this.#isOpening = false
    Ledger.end(this.#ledger)
    return true
  }

  /** Says that this connection goes from the ledger. If its opening still goes on, that counts as before. */
  connectionGone(): void {
    if (this.#isOver || this.#isOpening) return
    this.#isOpening = true
    Ledger.begin(this.#ledger)
  }

  /** Ends what is left of the claim. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    Ledger.settle(this.#ledger, this.#descriptors)
    if (this.#isOpening) Ledger.end(this.#ledger)
  }
}
