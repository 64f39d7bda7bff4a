// What a client of Redis is made of.
export { Redis as program } from "ioredis"
