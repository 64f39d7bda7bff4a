/**
 * A program that says that it is ready, and what it closes.
 *
 * Usage: node hangup-child.ts PLATFORM LISTENER
 *
 * PLATFORM: `Main`, `CloudRun` or `none`. LISTENER: `none`, `reload` for a program that listens itself, or `alone` for one that ends the
 * process if it finds no other listener, as packages do that run code at the exit.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as CloudRun from "../../src/Serverless/CloudRun.ts"
import * as Main from "../../src/Serverless/Main.ts"

const print = (text: string) => void Fs.writeSync(1, `${text}\n`)

const program = Layer.effectDiscard(Effect.andThen(
  Effect.addFinalizer(() => Effect.sync(() => print("closed"))),
  Effect.sync(() => print("ready"))
))

const reload = () => print("reloaded")

const alone = () => {
  if (process.listenerCount("SIGHUP") > 1) return
  print("alone")
  process.off("SIGHUP", alone)
  process.kill(process.pid, "SIGHUP")
}

// Something keeps the event loop alive, as a server would.
setInterval(() => {}, 1000)

const [platform, listener] = process.argv.slice(2)
if (platform === "CloudRun") CloudRun.launch(program)
else if (platform === "Main") Main.launch(program)
else print("ready")

if (listener === "reload") {
  process.on("SIGHUP", reload)
  // From then on the program has no listener any more.
  process.once("SIGUSR2", () => {
    process.off("SIGHUP", reload)
    print("without a listener")
  })
}
if (listener === "alone") process.on("SIGHUP", alone)
