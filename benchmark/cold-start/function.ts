/** The function of examples/lambda, without TLS and without a secret, which the bare one does not have either. */
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Lambda from "effect-sluice/Lambda"
import * as Postgres from "effect-sluice/Postgres"
import type { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Layer from "effect/Layer"
import { greeting, login } from "./program.ts"

const { acquireTimeout, closeTimeout, connectTimeout, drainTimeout, idleTimeout, maxTotal } = ConnectionPool.serverless

export const functionWith = (monitor: Layer.Layer<ResourceMonitor>) =>
  Lambda.handler({
    layer: Layer.provide(
      Postgres.layer({
        ...login,
        maxConnections: maxTotal,
        acquireTimeout,
        closeTimeout,
        connectTimeout,
        drainTimeout,
        idleTimeout
      }),
      monitor
    ),
    between: "keep",
    handle: () => greeting
  })
