// The runtime client loads JavaScript, which a deployment bundles the example to.
export { handler } from "../../../examples/lambda/handler.ts"
