/**
 * Borrowers of a pool that answers with promises.
 */

const settled = Promise.resolve()

/** A crowd of asynchronous functions, each of which awaits its connection, as users of such pools do. */
export const crowdOfPromises =
  <A>(acquire: () => Promise<A>, release: (connection: A) => void) =>
  async (borrowers: number, times: number): Promise<void> => {
    const borrow = async () => {
      for (let left = times; left > 0; left--) {
        const connection = await acquire()
        await settled
        release(connection)
      }
    }
    const all: Array<Promise<void>> = []
    for (let left = borrowers; left > 0; left--) all.push(borrow())
    await Promise.all(all)
  }
