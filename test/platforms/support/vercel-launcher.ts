/**
 * Calls the route of a function as Vercel does, in a process of its own: `node vercel-launcher.ts HANDLER URL...`. Prints the answers as a
 * list of JSON, and ends when the platform may freeze the instance.
 */
const [handler = "", ...urls] = process.argv.slice(2)

const held: Array<Promise<unknown>> = []
const context = { waitUntil: (promise: Promise<unknown>) => held.push(promise) }
Object.assign(globalThis, { [Symbol.for("@vercel/request-context")]: { get: () => context } })

const { GET }: { readonly GET: (request: Request) => Promise<Response> } = await import(handler)
const answers: Array<unknown> = []
for (const url of urls) answers.push(await (await GET(new Request(url))).json())
await Promise.all(held)
process.stdout.write(JSON.stringify(answers), () => process.exit())
