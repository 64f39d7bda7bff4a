// With the driver that it loads on the first query.
export { default as driver } from "mysql2"
export { default as program } from "serverless-mysql"
