/**
 * A dial for each attempt, closed after it. It is written with care: each dial and request has a timeout, every connection is closed.
 */
import { Client, mostHeld } from "./Client.ts"
import type { Contender, Setting } from "./Contender.ts"
import type { Limits } from "./Limits.ts"
import * as Retries from "./Retries.ts"

export const optionsOf = (limits: Limits): Readonly<Record<string, string>> => ({
  connectTimeout: `${limits.connectTimeout} ms`,
  requestTimeout: `${limits.requestTimeout} ms`,
  ...Retries.textOf(limits)
})

const once = async ({ host, limits, port }: Setting): Promise<void> => {
  const client = new Client()
  try {
    await client.connect(port, host, limits.connectTimeout)
    await client.request(limits.requestTimeout)
  } finally {
    client.destroy()
  }
}

export const open = (setting: Setting): Promise<Contender> =>
  Promise.resolve({
    answer: (gone) => Retries.retrying(setting.limits, gone, () => once(setting)),
    close: () => Promise.resolve(),
    mostHeld
  })
