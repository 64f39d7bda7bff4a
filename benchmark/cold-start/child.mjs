// Imports a function and calls it twice, and prints the milliseconds of the processor that each step took. The runtime client of AWS has
// loaded `node:http` before it loads a function.
import "node:http"

const cpu = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

const context = { getRemainingTimeInMillis: () => 10_000 }
const began = cpu()
const { handler } = await import(process.argv[2])
const imported = cpu()
await handler({}, context)
const first = cpu()
await handler({}, context)
const second = cpu()
process.stdout.write(
  JSON.stringify({ import: imported - began, first: first - imported, second: second - first }),
  () => process.exit()
)
