// What a pool of pg is made of.
export { default as program } from "pg"
