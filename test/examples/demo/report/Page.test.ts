import { assert, describe, it } from "@effect/vitest"
import * as Page from "../../../../examples/demo/report/Page.ts"
import { report } from "../Tracks.ts"

describe("the page of the demo", () => {
  const html = Page.make(report())

  it("loads nothing and runs no script", () => {
    assert.include(html, `content="default-src 'none'; style-src 'unsafe-inline'"`)
    assert.notMatch(html, /<script|<link|<img|@import|url\(|https?:/)
  })

  it("has the values of each plot as a table too", () => {
    const plots = html.match(/<figure>/g)?.length
    assert.strictEqual(plots, 6)
    assert.strictEqual(html.match(/<svg viewBox="0 0 400 220" role="img"/g)?.length, plots)
    assert.strictEqual(html.match(/<summary>Values: /g)?.length, plots)
  })

  it("shows what others have said as text", () => {
    const hostile = `<img src=x onerror="alert(1)">`
    const page = Page.make(report({ name: hostile, reason: hostile, option: hostile }))
    assert.notInclude(page, "<img")
    assert.include(page, "&lt;img src=x onerror=&quot;alert(#)&quot;&gt;")
  })
})
