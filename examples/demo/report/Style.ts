/**
 * The style of the report: light and dark as the reader's system has it, and one column on a phone.
 */
export const style = `
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1b2330; --soft: #566072; --rule: #d9dee6; --fault: #f3d9d6;
  --ours: #1f63d6; --second: #b8520a; --third: #6b7280; --offered: #9aa3b0; --best: #e6effc }
@media (prefers-color-scheme: dark) { :root { --ground: #12161d; --ink: #e6eaf0; --soft: #a6b0bf; --rule: #303947;
  --fault: #46262a; --ours: #7db2ff; --second: #ffa057; --third: #9aa5b5; --offered: #5f6b7c; --best: #1c2d4a } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 78rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p { margin: .25rem 0; max-width: 62rem }
.verdict { font-weight: 600 }
.soft, figcaption span { color: var(--soft) }
ul { padding-left: 1.25rem; margin: .25rem 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .3rem .4rem; border-bottom: 1px solid var(--rule); vertical-align: top }
th:first-child { text-align: left; font-weight: 400 }
thead th { font-weight: 600 }
.figures { table-layout: fixed }
.figures td.best { background: var(--best); font-weight: 600 }
.key { display: flex; margin: 1rem 0; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0 }
.key svg { width: 2.5rem; height: .7rem; margin-right: .4rem }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.25rem }
figure { margin: 0; min-width: 0 }
figcaption { font-weight: 600 }
figcaption span { display: block; font-weight: 400; font-size: .875rem }
figure svg { display: block; width: 100%; height: auto }
text { color: var(--soft); fill: currentColor; font: 11px system-ui, sans-serif }
path { fill: none; stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round }
.ours { stroke: var(--ours); stroke-width: 2.5 }
.second { stroke: var(--second); stroke-dasharray: 6 3 }
.third { stroke: var(--third); stroke-dasharray: 1.5 3.5 }
.offered { stroke: var(--offered); stroke-width: 1 }
.fault { fill: var(--fault) }
.grid { stroke: var(--rule); stroke-width: 1 }
details { margin: .5rem 0 }
summary { cursor: pointer }
.scroll { overflow-x: auto; max-height: 24rem; font-size: .875rem }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .15rem 1rem; font-size: .875rem; margin: .5rem 0 }
dt { color: var(--soft) }
dd { margin: 0 }
@media (max-width: 40rem) { body { padding: .75rem } .figures { font-size: .8rem } th, td { padding: .25rem .2rem }
  dl { grid-template-columns: 1fr } dd { margin: 0 0 .35rem } }
`
