import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: {
    tsconfigPaths: true,
    // Every test of an effect is checked for what it leaves open.
    alias: [{ find: /^@effect\/vitest$/, replacement: new URL("test/support/vitest.ts", import.meta.url).pathname }]
  },
  test: {
    // The tests start many processes of the command; compiled once, each starts in two thirds of the time.
    env: { NODE_COMPILE_CACHE: new URL("node_modules/.cache/compile", import.meta.url).pathname },
    include: ["test/**/*.test.ts"],
    exclude: ["node_modules", "dist"],
    testTimeout: 20_000,
    pool: "forks",
    silent: "passed-only",
    setupFiles: ["test/support/setup.ts"]
  }
})
