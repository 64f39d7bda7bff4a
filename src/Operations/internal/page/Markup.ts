/**
 * What the status page has before its script runs: the sections, their titles, the dialog, and what is said without a script.
 *
 * @since 0.1.0
 */

const section = (id: string, title: string, none: string): string => `
  <section aria-labelledby="${id}-title">
    <h2 id="${id}-title">${title} <span class="count" id="${id}-count"></span></h2>
    <div class="card rows" id="${id}"></div>
    <p class="quiet" id="${id}-none" data-none="${none}" hidden></p>
  </section>`

const dialog = `
<dialog id="dialog" aria-labelledby="dialog-title" aria-describedby="dialog-effect">
  <form id="dialog-form" method="dialog" autocomplete="off">
    <h2 id="dialog-title"></h2>
    <p id="dialog-effect"></p>
    <p id="dialog-name-line" hidden>
      <label for="dialog-name">To confirm, type the name of the pool: <bdi class="text" id="dialog-expected"></bdi></label>
      <input id="dialog-name" spellcheck="false" autocapitalize="off">
    </p>
    <p id="dialog-token-line" hidden>
      <label for="dialog-token">Token of the program. This page keeps it until it is closed or loaded again.</label>
      <input id="dialog-token" type="password" autocomplete="off" spellcheck="false">
    </p>
    <p id="dialog-error" class="error" role="alert" hidden></p>
    <p class="actions"><button type="button" id="dialog-cancel">Cancel</button><button id="dialog-run" class="primary">Run</button></p>
  </form>
</dialog>`

const header = `
<a class="skip" href="#main">Skip to the content</a>
<header>
  <h1>sluice</h1>
  <p id="program"></p>
  <p id="live" class="live">Connecting</p>
  <p><span id="readiness" class="chip"></span></p>
</header>
<nav aria-label="Sections">
  <a href="#process-title">Process</a> <a href="#pools-title">Pools</a> <a href="#holders-title">Holders</a>
  <a href="#leaks-title">Leaks</a> <a href="#failures-title">Failures</a> <a href="#sites-title">Call sites</a>
</nav>
<noscript><p class="notice">This page needs JavaScript. The same figures are in <a href="pools.json">pools.json</a>.</p></noscript>
<p id="alarm" class="unseen" role="alert"></p>
<p id="announcement" class="unseen" role="status"></p>
<div id="lost" class="notice lost" hidden><strong id="lost-title"></strong><p id="lost-facts"></p></div>
<div id="locked" class="notice" hidden>
  <strong>The program does not show its figures</strong>
  <p id="locked-reason"></p>
  <form id="locked-form" autocomplete="off">
    <label for="locked-token">Token of the program. This page keeps it until it is closed or loaded again.</label>
    <input id="locked-token" type="password" autocomplete="off" spellcheck="false">
    <button class="primary">Show</button>
  </form>
</div>`

const process = `
  <section id="process" aria-labelledby="process-title">
    <h2 id="process-title">Process <span class="chip" id="level"></span></h2>
    <ul class="resources" id="resources"></ul>
    <p class="quiet" id="span"></p>
    <dl class="card facts" id="facts"></dl>
  </section>`

const pools = `
  <section aria-labelledby="pools-title">
    <h2 id="pools-title">Pools <span class="count" id="pools-count"></span></h2>
    <p class="quiet" id="controls-off">Actions, such as Evict and Suspend, are off: the program has set no <code>token</code> for <code>OperationsHttp</code>.</p>
    <div class="pools" id="pool-list"></div>
    <p class="quiet" id="pools-none" hidden></p>
  </section>`

/** The body of the page. */
export const markup = `${header}
<main id="main" hidden>
  <section aria-labelledby="summary">
    <h2 id="summary"></h2>
    <ul id="reasons" aria-label="Why the program is not ready" hidden></ul>
    <ul id="findings"></ul>
  </section>
  ${process}
  <form id="filters" role="search" autocomplete="off">
    <label for="filter">Filter pools, endpoints, routes and call sites</label>
    <input id="filter" type="search" spellcheck="false">
    <label class="check"><input id="troubled" type="checkbox"> Only pools with trouble</label>
  </form>
  ${pools}
  ${section("holders", "Holders by age", "No connection is leased.")}
  ${section("leaks", "Leaks by call site", "No leak has been seen.")}
  ${section("failures", "Last failures", "No endpoint has failed.")}
  ${
  section("sites", "Most open connections by call site", "No connection is open, or the program records no call sites.")
}
  <section id="alerts" aria-labelledby="alerts-title" hidden>
    <h2 id="alerts-title">Alerts of the monitor</h2>
    <ul class="card plainlist" id="alert-list"></ul>
  </section>
</main>
<p id="done" class="done" aria-hidden="true"></p>
${dialog}`
