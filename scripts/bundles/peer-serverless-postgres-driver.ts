// With the driver that it loads on the first connection.
export { default as driver } from "pg"
export { default as program } from "serverless-postgres"
