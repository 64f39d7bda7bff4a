import { assert, it } from "@effect/vitest"
import { Layer } from "effect"
import * as Lambda from "effect-sluice/Lambda"
import Crypto from "node:crypto"
import { syncBuiltinESMExports } from "node:module"

const context: Lambda.LambdaContext = {
  awsRequestId: "1",
  functionName: "test",
  functionVersion: "1",
  invokedFunctionArn: "arn",
  memoryLimitInMB: "128",
  logGroupName: "group",
  logStreamName: "stream",
  getRemainingTimeInMillis: () => 3000
}

it("is generated on first use, from fresh random bytes", async () => {
  const original = Crypto.randomUUID
  const calls: Array<unknown> = []
  Crypto.randomUUID = (options) => {
    calls.push(options)
    return original(options)
  }
  syncBuiltinESMExports()
  try {
    const handler = Lambda.handler({ layer: Layer.empty, handle: () => Lambda.holderId })
    await Lambda.ready()
    assert.deepStrictEqual(calls, [])
    const names = [await handler({}, context), await handler({}, context)]
    assert.deepStrictEqual(calls, [{ disableEntropyCache: true }])
    assert.strictEqual(names[0], names[1])
    assert.match(names[0] ?? "", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\/\d+$/)
  } finally {
    Crypto.randomUUID = original
    syncBuiltinESMExports()
  }
})
