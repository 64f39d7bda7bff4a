/**
 * A crowd that wants permits, and what it measures: how long all of it takes, each wait, and how many hold a permit at once.
 */
export const crowd = async (withPermit, { contenders, hold, rounds }) => {
  const waits = []
  let [held, most] = [0, 0]
  const one = async () => {
    for (let round = 0; round < rounds; round++) {
      const began = performance.now()
      await withPermit(async () => {
        waits.push(performance.now() - began)
        most = Math.max(most, ++held)
        await new Promise((resolve) => setTimeout(resolve, hold))
        held--
      })
    }
  }
  const began = performance.now()
  await Promise.all(Array.from({ length: contenders }, one))
  const took = performance.now() - began
  waits.sort((one, other) => one - other)
  const at = (share) => waits[Math.floor(waits.length * share)]
  return { took, most, p50: at(0.5), p99: at(0.99) }
}
