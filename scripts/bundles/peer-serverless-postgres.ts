// It loads its driver, pg, on the first connection.
export { default as program } from "serverless-postgres"
