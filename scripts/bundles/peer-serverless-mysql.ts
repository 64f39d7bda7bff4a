// It loads its driver, mysql2, on the first query.
export { default as program } from "serverless-mysql"
