import { defineConfig } from "vitest/config"
import { CountedFirst } from "./test/support/CountedFirst.ts"

/** Long tests that count, as the files of `counted` do. */
const countedHazards = "soak|churn|cancellation|exhaustion|inbound|json-rpc-peers|postgres|promise-clients"

/** Files that need a process of their own, and why. All others share the processes of the workers, one after another. */
const apart = [
  // Leaves descriptors open on purpose, which later files would count.
  "test/Serverless/internal/WarmInstance.test.ts",
  // Count what the whole process has: its children, its descriptors.
  "test/Monitor/readings/{Descriptors,Children}.test.ts",
  "test/Testing/internal/DescriptorDiff.test.ts",
  // A process generates its name once.
  "test/internal/HolderId.test.ts",
  // The long tests: real processes of the command, of the package and of a browser.
  "test/{Cli,package,prometheus,browser,site/built}/**/*.test.ts",
  "test/examples/!(demo)/*.test.ts",
  "test/examples/*.test.ts"
]

/**
 * Long tests of signals, limits and exits of real processes, which also say how long something may take. They run in a process of their
 * own, one file at a time, after all others.
 */
const timed = [
  "test/{platforms,runtimes}/*.test.ts",
  "test/examples/demo/**/*.test.ts",
  "test/Clients/hazard/*.test.ts",
  `test/hazard/!(${countedHazards}).test.ts`
]

/**
 * Files that count wrong answers, connections over a cap, or what is left open. One such count is a fault, also when the next run
 * has none, so that these are never run again.
 */
const counted = [
  "test/Pool/{Model,LeftBehind,LoweredCap,Spoilt,Stalls,EffectCases,EffectPool,EffectPoolContract}.test.ts",
  "test/Pool/internal/{EndpointPool,PoolCore}.test.ts",
  "test/Resource/{TcpReuse,JsonRpcPeers,PromiseClient}.test.ts",
  "test/Resource/internal/tcp/Dial.test.ts",
  `test/hazard/@(${countedHazards}).test.ts`,
  "test/Testing/FaultProxy.test.ts",
  "test/Clients/{Postgres,PostgresPool,PostgresEffect}.test.ts",
  "test/contract/**/*.test.ts"
]

/** How often a test that fails is run again. CI allows it for tests of processes and signals: a machine may be busy for a moment. */
const retry = Number(process.env["TEST_RETRIES"] ?? 0)

export default defineConfig({
  resolve: {
    tsconfigPaths: true,
    // Every test of an effect is checked for what it leaves open.
    alias: [{ find: /^@effect\/vitest$/, replacement: new URL("test/support/vitest.ts", import.meta.url).pathname }]
  },
  test: {
    // The tests start many processes of the command; compiled once, each starts in two thirds of the time.
    env: { NODE_COMPILE_CACHE: new URL("node_modules/.cache/compile", import.meta.url).pathname },
    testTimeout: 20_000,
    // What a file has left open is waited for, which takes its time on a busy machine.
    hookTimeout: 60_000,
    pool: "forks",
    silent: "passed-only",
    setupFiles: ["test/support/setup.ts"],
    sequence: { sequencer: CountedFirst },
    projects: [
      // Loading the modules once for each worker, and not for each file, halves the time of the suite.
      {
        extends: true,
        test: {
          name: "shared",
          isolate: false,
          retry,
          include: ["test/**/*.test.ts"],
          exclude: ["**/node_modules/**", ...apart, ...timed, ...counted]
        }
      },
      // These three have no `exclude`, so that the one of the command line holds for them.
      { extends: true, test: { name: "apart", isolate: true, retry, include: apart } },
      {
        extends: true,
        test: { name: "timed", isolate: true, retry, include: timed, maxWorkers: 1, sequence: { groupOrder: 1 } }
      },
      { extends: true, test: { name: "counted", isolate: false, retry: 0, include: counted } }
    ]
  }
})
