// A whole Lambda function whose monitor has no limits, so that its probes and its gate are left out.
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Lambda from "effect-sluice/Lambda"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

class Connections extends ConnectionPool.Service<Connections>()("app/Connections", {
  connector: TcpConnection.connector(),
  ...ConnectionPool.serverless
}) {}

export const handler = Lambda.handler({
  layer: Connections.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
  handle: () => Connections.withConnection(Endpoint.tcp("127.0.0.1", 5432), () => Effect.succeed("done"))
})
