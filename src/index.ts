/**
 * effect-sluice: each connection is closed on every exit path, and none is opened without room for it.
 *
 * Each module is a namespace here, and has an import path of its own: `effect-sluice/ConnectionPool`. To keep a bundle small,
 * import by path.
 *
 * @since 0.1.0
 * @stability stable
 */

export * as Reading from "./Monitor/Reading.ts"
export * as ResourceMonitor from "./Monitor/ResourceMonitor.ts"
export * as Operations from "./Operations/Operations.ts"
export * as ConnectionBudget from "./Pool/ConnectionBudget.ts"
export * as ConnectionPool from "./Pool/ConnectionPool.ts"
export * as PoolTelemetry from "./Pool/PoolTelemetry.ts"
export * as Connector from "./Resource/Connector.ts"
export * as Endpoint from "./Resource/Endpoint.ts"
export * as JsonRpcClient from "./Resource/JsonRpcClient.ts"
export * as TcpConnection from "./Resource/TcpConnection.ts"
export * as Breaker from "./Retry/Breaker.ts"
export * as BreakerChanges from "./Retry/BreakerChanges.ts"
export * as Failure from "./Retry/Failure.ts"
export * as RetryBudget from "./Retry/RetryBudget.ts"
export * as RetryPolicy from "./Retry/RetryPolicy.ts"
export * as RetryTelemetry from "./Retry/RetryTelemetry.ts"
export * as CloudRun from "./Serverless/CloudRun.ts"
export * as Edge from "./Serverless/Edge.ts"
export * as Lambda from "./Serverless/Lambda.ts"
export * as Main from "./Serverless/Main.ts"
export * as Vercel from "./Serverless/Vercel.ts"
export * as Settings from "./Settings/Settings.ts"
