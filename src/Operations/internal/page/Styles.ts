/**
 * How the status page looks: for a phone first, light and dark. A color is never the only sign of a state.
 *
 * @since 0.1.0
 */

/** Each text has a contrast of at least 4.5 to its ground, each line and part of a bar at least 3. */
const colors = `
:root {
  color-scheme: light dark;
  --ground: #f4f5f7; --card: #ffffff; --line: #d5dae1; --text: #1a1f27; --quiet: #566070; --link: #1d56b0; --strong: #1d56b0; --on: #ffffff;
  --down: #a8201a; --down-ground: #fdeae8; --warning: #7d4b00; --warning-ground: #fdf1dc; --well: #19663a; --well-ground: #e5f4ea;
  --note: #3d4a5c; --note-ground: #e8ecf2;
  --active: #2460c4; --idle: #6c94d8; --connecting: #a86400; --closing: #6b7684; --free: #e6e9ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1318; --card: #181d25; --line: #323b48; --text: #e7ebf1; --quiet: #a3afbe; --link: #85b4ff; --strong: #2b63bf;
    --down: #ff958c; --down-ground: #43171a; --warning: #ffc876; --warning-ground: #3a2a10; --well: #76d8a0; --well-ground: #13301f;
    --note: #c4cedb; --note-ground: #28313d;
    --active: #5c97f5; --idle: #4a6a9e; --connecting: #e0a040; --closing: #8793a3; --free: #2a323d;
  }
}`

const base = `
*, ::before, ::after { box-sizing: border-box; }
html { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; -webkit-text-size-adjust: 100%; scroll-padding-top: 4rem; }
body { margin: 0; background: var(--ground); color: var(--text); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1, h2, h3, h4, p, ul, dl, dd { margin: 0; padding: 0; }
ul { list-style: none; }
h1 { font-size: 1.1rem; } h2 { font-size: 1.15rem; margin: 1.75rem 0 .6rem; } h3 { font-size: 1rem; } h4 { font-size: .9rem; margin: .8rem 0 .3rem; }
a { color: var(--link); }
[hidden], .absent { display: none !important; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -999px; } .skip:focus { left: .5rem; top: .5rem; z-index: 3; background: var(--card); padding: .5rem; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
button, input { font: inherit; color: inherit; }
button { white-space: nowrap; overflow-wrap: normal; min-height: 2.4rem; padding: .3rem .8rem; border: 1px solid var(--line); border-radius: 6px; background: var(--card); color: var(--link); font-weight: 600; cursor: pointer; }
button:hover { border-color: currentcolor; }
button.danger { color: var(--down); }
button.primary { background: var(--strong); border-color: var(--strong); color: var(--on); }
button.primary.danger { background: #a8201a; border-color: #a8201a; color: #fff; }
button:disabled { opacity: .6; cursor: progress; }
input:not([type=checkbox]) { width: 100%; min-height: 2.4rem; padding: .3rem .6rem; border: 1px solid var(--quiet); border-radius: 6px; background: var(--card); }
header, nav, main, .notice { max-width: 88rem; margin: 0 auto; padding: 0 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem; min-width: 0; }
.quiet { color: var(--quiet); font-size: .87rem; } .strong { font-weight: 600; } .block { display: block; }
.line { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: baseline; justify-content: space-between; }
.chips { display: inline-flex; flex-wrap: wrap; gap: .3rem; }
.text { white-space: pre-wrap; } .text.short { white-space: pre; overflow-wrap: normal; }
.text.block, .long.block { display: block; }
.text.long { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; cursor: zoom-in; }
.text.long:focus { -webkit-line-clamp: none; cursor: auto; }
.chip { display: inline-block; padding: .05rem .5rem; border-radius: 99px; font-size: .82rem; font-weight: 600; white-space: nowrap; background: var(--note-ground); color: var(--note); }
.chip:empty { display: none; }
.chip.Healthy, .chip.Normal, .chip.Ready { background: var(--well-ground); color: var(--well); }
.chip.Degraded, .chip.Warning { background: var(--warning-ground); color: var(--warning); }
.chip.Unavailable, .chip.Critical, .chip.Exhausted, .chip.NotReady { background: var(--down-ground); color: var(--down); }
.chip.Unavailable::before, .chip.Exhausted::before, .chip.NotReady::before, .chip.Critical::before { content: "✕ " / ""; }
.chip.Degraded::before, .chip.Warning::before { content: "▲ " / ""; }`

const top = `
header { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .9rem; padding-top: .7rem; padding-bottom: .5rem; }
nav { display: flex; flex-wrap: wrap; gap: .1rem .8rem; font-size: .9rem; } nav a { padding: .25rem 0; }
#program { flex: 1 1 14rem; color: var(--quiet); font-size: .87rem; }
.live::before { content: ""; display: inline-block; width: .65rem; height: .65rem; margin-right: .4rem; border-radius: 50%; background: var(--well); }
[data-state=connecting] .live { color: var(--quiet); } [data-state=connecting] .live::before { background: none; border: 2px solid var(--quiet); }
[data-state=lost] .live, [data-state=locked] .live { color: var(--down); font-weight: 600; }
[data-state=lost] .live::before, [data-state=locked] .live::before { background: none; border: 2px solid var(--down); }
[data-state=lost] main { opacity: .6; }
.notice { padding-top: .7rem; padding-bottom: .7rem; border-left: 6px solid var(--warning); background: var(--warning-ground); }
.notice.lost { position: sticky; top: 0; z-index: 2; border-color: var(--down); background: var(--down-ground); color: var(--down); font-size: 1.05rem; }
#locked-form { display: grid; gap: .4rem; max-width: 30rem; margin-top: .6rem; }
#summary { margin: .6rem 0; padding: .5rem .8rem; border-radius: 8px; }
#summary.well { background: var(--well-ground); color: var(--well); } #summary.well::before { content: "✓ " / ""; }
#summary.warning { background: var(--warning-ground); color: var(--warning); }
#summary.down { background: var(--down); color: var(--card); font-size: 1.4rem; }
#reasons { margin: 0 0 .6rem; font-size: .93rem; } #reasons li::before { content: "Not ready: "; color: var(--quiet); }
#findings { display: grid; gap: .5rem; }
#findings li { padding: .6rem .8rem; border-radius: 8px; border: 1px solid; border-left-width: 8px; }
#findings .down { background: var(--down-ground); border-color: var(--down); } #findings .down .head { color: var(--down); font-size: 1.1rem; }
#findings .warning { background: var(--warning-ground); border-color: var(--warning); } #findings .warning .head { color: var(--warning); }
#findings .note { background: var(--note-ground); border-color: var(--note); }
#findings .title { font-weight: 600; } #findings .sign { text-transform: uppercase; letter-spacing: .03em; font-size: .85rem; }
#findings .facts:empty { display: none; } #findings .detail { font-family: ui-monospace, monospace; font-size: .87rem; }`

const parts = `
.resources { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); } #span { margin-top: .4rem; }
.level h3, .chip#level { text-transform: none; } .level h3::first-letter { text-transform: uppercase; }
.big { font-size: 1.3rem; font-weight: 600; } .share { color: var(--quiet); font-size: .95rem; font-weight: 400; }
dl.facts { display: grid; gap: .4rem 1.2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); margin-top: .5rem; }
dl.facts > div { display: flex; justify-content: space-between; gap: .6rem; min-width: 0; } dt { color: var(--quiet); } dd { font-weight: 600; text-align: right; }
.bar { display: block; width: 100%; height: 14px; margin: .4rem 0; background: var(--free); border-radius: 4px; }
.part.active, .swatch.active { fill: var(--active); background: var(--active); } .part.idle, .swatch.idle { fill: var(--idle); background: var(--idle); }
.part.connecting, .swatch.connecting { fill: var(--connecting); background: var(--connecting); }
.part.closing, .swatch.closing { fill: var(--closing); background: var(--closing); } .swatch.free { background: var(--free); outline: 1px solid var(--line); }
.part { stroke: var(--card); stroke-width: 2; vector-effect: non-scaling-stroke; }
.swatch { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .35rem; }
.chart { display: block; } .spark { display: block; width: 100%; height: 36px; } .spark .line { stroke: var(--active); stroke-width: 1.75; } .spark .base { stroke: var(--line); stroke-width: 1; }
#filters { display: grid; gap: .3rem .9rem; margin-top: 1.75rem; } .check { display: flex; gap: .4rem; align-items: center; min-height: 2.4rem; } .check input { width: 1.15rem; height: 1.15rem; }
.count { color: var(--quiet); font-weight: 400; }
.pools { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); align-items: start; }
.pool { display: grid; gap: .55rem; scroll-margin-top: 4rem; }
.legend, .figures { display: flex; flex-wrap: wrap; gap: .15rem .9rem; font-size: .93rem; } .cap { color: var(--quiet); font-size: .87rem; }
.figures .trouble { color: var(--warning); font-weight: 600; } .figures .trouble::before { content: "▲ " / ""; }
.lines { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem; } .labelled { min-width: 0; }
.actions { display: flex; flex-wrap: wrap; gap: .5rem; }
[data-controls=off] :is(.pool > .actions, th.action, td.action), [data-controls=on] #controls-off { display: none; }
details > summary { cursor: pointer; min-height: 1.8rem; color: var(--link); font-weight: 600; }
#controls-off { margin-bottom: .5rem; } .more { margin-top: .5rem; }
.plainlist { display: grid; gap: .35rem; }
.done { position: fixed; inset: auto 1rem 1rem; margin: auto; width: fit-content; max-width: calc(100% - 2rem); padding: .6rem 1rem; border-radius: 8px; background: var(--text); color: var(--ground); }
.done:empty { display: none; }
dialog { width: min(32rem, calc(100% - 2rem)); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem; background: var(--card); color: var(--text); }
dialog::backdrop { background: #000a; } dialog h2 { margin-top: 0; } dialog form { display: grid; gap: .8rem; } dialog .actions { justify-content: flex-end; }
dialog h2, #dialog-expected { max-height: 9rem; overflow: auto; } #dialog-expected { font-weight: 600; }
.error { color: var(--down); font-weight: 600; } .error::before { content: "✕ " / ""; }`

/** On a narrow screen a row is a block, and each cell says what it is. */
const tables = `
table { width: 100%; border-collapse: collapse; }
.code .text { font-family: ui-monospace, monospace; font-size: .87rem; }
@media (max-width: 779px) {
  table, tbody, tr, td { display: block; } thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { padding: .55rem 0; border-top: 1px solid var(--line); } tbody tr:first-child { border-top: 0; }
  td { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); gap: .5rem; padding: .1rem 0; }
  td::before { content: attr(data-title); color: var(--quiet); font-size: .87rem; }
  tr:has(.action) { position: relative; padding-right: 4.6rem; }
  .compact td { display: block; } .compact td::before { content: none; } .compact td.number { font-weight: 600; }
  td.action { position: absolute; top: .45rem; right: 0; display: block; } td.action::before { content: none; }
}
@media (min-width: 780px) {
  th { text-align: left; font-size: .82rem; color: var(--quiet); font-weight: 600; padding: .2rem .6rem .3rem 0; white-space: nowrap; }
  td { vertical-align: top; padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line); }
  td.number, th.number { white-space: nowrap; } td.action, th.action { width: 1%; padding-right: 0; text-align: right; }
  td:not(.number, .action) { min-width: 6rem; }
  td button { min-height: 1.9rem; padding: .1rem .6rem; }
  #filters { grid-template-columns: minmax(0, 1fr) auto; } #filters > label:first-child { grid-column: 1 / -1; }
}
@media (forced-colors: active) { .part, .swatch, .bar, .spark .line { forced-color-adjust: none; } #findings li, .chip { border: 1px solid; } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }`

/** The style sheet of the page. */
export const styles = `${colors}${base}${top}${parts}${tables}`
