// A function on plain pg.
import { Pool } from "pg"
import { login } from "./program.ts"

const { username, ...address } = login
const pool = new Pool({ ...address, user: username, max: 1 })

export const handler = async (): Promise<unknown> => {
  const { rows } = await pool.query("SELECT 'hello ' || $1 AS greeting, pg_backend_pid() AS session", ["Ada"])
  return rows[0]
}
