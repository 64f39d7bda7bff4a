/**
 * What an operator may do, each after a confirmation that says what will happen.
 */
import { byId, setHidden, setText } from "./Dom.ts"
import { control, hasToken, Refused, setToken } from "./Session.ts"

/** An action that waits for its confirmation. */
export type Action =
  | { readonly kind: "evict"; readonly pool: string; readonly endpoint?: string }
  | { readonly kind: "suspend"; readonly pool: string }
  | { readonly kind: "resume"; readonly pool: string }
  | { readonly kind: "drain"; readonly pool: string }
  | { readonly kind: "end"; readonly pool: string; readonly lease: number; readonly holder: string }

interface Wording {
  readonly title: string
  readonly effect: string
  readonly button: string
  readonly done: string
}

const wordings: { readonly [K in Action["kind"]]: (action: Extract<Action, { kind: K }>) => Wording } = {
  evict: ({ endpoint, pool }) => ({
    title: `Evict connections of ${endpoint ?? pool}?`,
    effect: "Idle connections close now, leased ones when they are returned. Borrowers get new connections.",
    button: "Evict",
    done: `The connections of ${endpoint ?? pool} are evicted`
  }),
  suspend: ({ pool }) => ({
    title: `Suspend pool ${pool}?`,
    effect:
      "New borrowers wait until the pool is resumed, and fail at their deadlines. Leases go on. If the pool is required, the program "
      + "is not ready meanwhile and gets no requests.",
    button: "Suspend",
    done: `Pool ${pool} is suspended`
  }),
  resume: ({ pool }) => ({
    title: `Resume pool ${pool}?`,
    effect: "Borrowers that wait get connections again.",
    button: "Resume",
    done: `Pool ${pool} is resumed`
  }),
  drain: ({ pool }) => ({
    title: `Drain pool ${pool}?`,
    effect:
      "The pool ends: it refuses new borrowers, and fails those that wait. This cannot be undone. Only a restart of the program brings "
      + "the pool back.",
    button: "Drain",
    done: `Pool ${pool} is draining`
  }),
  end: ({ holder, pool }) => ({
    title: `End the lease of ${holder}?`,
    effect: `Its borrower in pool ${pool} fails with LeaseExpired, and its connection is closed.`,
    button: "End lease",
    done: `The lease of ${holder} is ended`
  })
}

/** TypeScript does not connect the key of the table with the kind of the action. */
const wordingOf = (action: Action): Wording => (wordings[action.kind] as (action: Action) => Wording)(action)

const pathOf = (action: Action): string => {
  const pool = `pools/${encodeURIComponent(action.pool)}`
  if (action.kind === "end") return `${pool}/leases/${action.lease}/end`
  const query = action.kind === "evict" && action.endpoint !== undefined
    ? `?endpoint=${encodeURIComponent(action.endpoint)}`
    : ""
  return `${pool}/${action.kind}${query}`
}

const input = (id: string): HTMLInputElement => byId(id) as HTMLInputElement

/** The parts of the dialog, which the markup has. */
const parts = () => ({
  dialog: byId("dialog") as HTMLDialogElement,
  title: byId("dialog-title"),
  effect: byId("dialog-effect"),
  nameLine: byId("dialog-name-line"),
  expected: byId("dialog-expected"),
  name: input("dialog-name"),
  tokenLine: byId("dialog-token-line"),
  token: input("dialog-token"),
  error: byId("dialog-error"),
  run: byId("dialog-run") as HTMLButtonElement
})

/** Sets the dialog up. `done` is called with a sentence after an action has succeeded. */
export const make = (done: (sentence: string) => void) => {
  const { dialog, effect, error, expected, name, nameLine, run, title, token, tokenLine } = parts()
  let asked: Action | undefined

  const fail = (text: string): void => {
    setText(error, text)
    setHidden(error, text === "")
  }

  const submit = async (action: Action): Promise<void> => {
    if (action.kind === "drain" && name.value.trim() !== action.pool.trim()) {
      return fail("This is not the name of the pool.")
    }
    if (!hasToken()) {
      if (token.value.trim() === "") return fail("Enter the token of the program.")
      setToken(token.value)
    }
    fail("")
    run.disabled = true
    try {
      await control(pathOf(action))
      token.value = ""
      dialog.close()
      done(wordingOf(action).done)
    } catch (failure) {
      fail(`Not done: ${failure instanceof Error ? failure.message : String(failure)}.`)
      if (failure instanceof Refused && failure.status === 401) {
        setHidden(tokenLine, false)
        token.select()
        token.focus()
      }
    } finally {
      run.disabled = false
    }
  }

  byId("dialog-cancel").addEventListener("click", () => dialog.close())
  byId("dialog-form").addEventListener("submit", (event) => {
    event.preventDefault()
    if (asked !== undefined && !run.disabled) void submit(asked)
  })

  return (action: Action): void => {
    asked = action
    const wording = wordingOf(action)
    setText(title, wording.title)
    setText(effect, wording.effect)
    setText(run, wording.button)
    run.classList.toggle("danger", action.kind === "drain" || action.kind === "end")
    setHidden(nameLine, action.kind !== "drain")
    setText(expected, action.pool)
    name.value = ""
    setHidden(tokenLine, hasToken())
    fail("")
    dialog.showModal()
  }
}
