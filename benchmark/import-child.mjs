// Imports what it is told to, one after the other, and prints how long that took: wall clock and processor, in milliseconds.
const [, , ...modules] = process.argv
const began = performance.now()
const cpuBefore = process.cpuUsage()
for (const module of modules) await import(module)
const { system, user } = process.cpuUsage(cpuBefore)
process.stdout.write(
  JSON.stringify({ millis: performance.now() - began, cpu: (system + user) / 1000 }),
  () => process.exit()
)
