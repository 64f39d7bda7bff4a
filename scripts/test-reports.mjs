// Prints each failed test of the JSON reports of Vitest in a folder, and a last line with the number of tests:
// `node scripts/test-reports.mjs FOLDER`. `.ci/run` ends with it.
import { readdirSync, readFileSync } from "node:fs"
import { join, relative, resolve } from "node:path"

const root = resolve(import.meta.dirname, "..")
const [folder = "."] = process.argv.slice(2)
/** The lines of a message that are printed, without the frames of packages. The whole of it is beside the step. */
const lines = 12

/** @param {string} file */
const read = (file) => {
  try {
    return JSON.parse(readFileSync(join(folder, file), "utf8"))
  } catch {
    // The process ended before its report was complete.
    return {
      testResults: [{ name: file, status: "failed", message: "there is no report of this step", assertionResults: [] }]
    }
  }
}

/** @param {string} text */
const shortened = (text) =>
  text.split("\n").filter((line) => !line.includes("node_modules")).slice(0, lines).map((line) =>
    `    ${line.slice(0, 300)}`
  ).join("\n")

const total = { passed: 0, failed: 0, skipped: 0 }
for (const file of readdirSync(folder).filter((name) => name.endsWith(".json")).sort()) {
  const { numPassedTests = 0, numFailedTests = 0, numPendingTests = 0, numTodoTests = 0, testResults = [] } = read(file)
  total.passed += numPassedTests
  total.failed += numFailedTests
  total.skipped += numPendingTests + numTodoTests
  for (const { name, status, message, assertionResults } of testResults) {
    const failures = assertionResults.filter((test) => test.status === "failed")
    const where = `failed in ${file}: ${relative(root, resolve(root, name))}`
    for (const test of failures) {
      console.log(`${where} > ${test.fullName}\n${shortened(test.failureMessages.join("\n"))}`)
    }
    // A suite that broke outside its tests, while it loaded or in a hook, counts as one failure.
    if (status === "failed" && failures.length === 0) {
      total.failed++
      console.log(`${where}\n${shortened(message)}`)
    }
  }
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
