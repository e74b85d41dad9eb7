// A pinned run: its lines are drawn as a ghost behind those of the next run, aligned at their starts, with its load and
// its figures. All of this comes from the charts' data. It is kept in this tab only and changes nothing for other viewers.
"use strict";

const ghost = (() => {
  const KEY = "lab.pinned-run";
  // The units of the server's strips, whose lines keep one unit from either edge.
  const STRIP = { width: 600, height: 120, edge: 1 };
  const ROWS = {
    good: [["good", "good", (value) => `${live.rate(value)}/s`]],
    latency: [["p50", "second", live.time], ["p95", "plain", live.time]],
    in_flight: [["in_flight", "plain", live.count]],
    waiting: [["waiting", "plain", live.count]],
  };
  const NAMES = { good: "good", p50: "p50", p95: "p95", in_flight: "in flight", waiting: "waiting" };
  const SERIES = Object.keys(NAMES);

  let shown = null;
  let pinned = null;
  let windowSeconds = "30";

  const id = (name) => document.getElementById(name);
  const isSame = (run) => Boolean(run && pinned && run.began_ms === pinned.run.began_ms);
  const length = () => shown.columns[0]?.points.offered.length ?? 0;
  const first = () => shown.second - length();

  // Merges the run's points in the charts now with those kept before.
  function take() {
    const { run } = shown;
    const end = run.ended_second === null ? shown.second : Math.min(shown.second, run.ended_second + 1);
    for (const { path, points } of shown.columns) {
      const kept = (pinned.points[path] ??= Object.fromEntries(SERIES.map((name) => [name, []])));
      for (let second = Math.max(run.second, first()); second < end; second += 1) {
        for (const name of SERIES) kept[name][second - run.second] = points[name][second - first()];
      }
    }
    pinned.run = run;
    keep();
  }

  function keep() {
    try {
      if (pinned) sessionStorage.setItem(KEY, JSON.stringify(pinned));
      else sessionStorage.removeItem(KEY);
    } catch {
      // Without storage the pinned run is lost when the page is left.
    }
  }

  function restore() {
    try {
      pinned = JSON.parse(sessionStorage.getItem(KEY));
      // A run that another version kept is not shown.
      if (!pinned?.points || !pinned.run?.columns || !pinned.run.levers?.async_limit?.text) pinned = null;
    } catch {
      pinned = null;
    }
  }

  // The ghost's value at a place of the charts: the same time after its start as the place is after this run's start.
  function at(path, name, place) {
    return pinned.points[path]?.[name][first() + place - shown.run.second] ?? null;
  }

  const isShown = () => Boolean(pinned && shown?.run && !isSame(shown.run));

  function highest(row) {
    const values = Object.values(pinned.points).flatMap((series) => ROWS[row].flatMap(([name]) => series[name]));
    return Math.max(0, ...values.filter((value) => value !== null && value !== undefined));
  }

  // A line for each stretch without a gap.
  function lines(path, [name, role], top) {
    const stretches = [[]];
    for (let place = Math.max(0, shown.run.second - first()); place < length(); place += 1) {
      const value = at(path, name, place);
      if (value === null) {
        stretches.push([]);
        continue;
      }
      const x = (STRIP.width * place) / Math.max(1, length() - 1);
      const y = STRIP.height - STRIP.edge - (value / top) * (STRIP.height - 2 * STRIP.edge);
      stretches.at(-1).push(`${x.toFixed(1)},${y.toFixed(1)}`);
    }
    return stretches.filter((points) => points.length > 1).map((points) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      line.setAttribute("class", `line ghost ${role}`);
      line.setAttribute("fill", "none");
      line.setAttribute("points", points.join(" "));
      return line;
    });
  }

  function draw() {
    if (!isShown()) return;
    for (const row of shown.rows) {
      const top = row.top || 1;
      // A multiple of the server's own round number is round as well.
      const most = top * Math.max(1, Math.ceil(highest(row.name) / top));
      for (const plot of document.querySelectorAll(`.plot[data-row="${row.name}"]`)) {
        const strip = plot.querySelector("svg.strip");
        if (!strip) continue;
        const path = plot.closest(".column").dataset.path;
        strip.prepend(...ROWS[row.name].flatMap((line) => lines(path, line, top)));
        if (most <= top) continue;
        // The ghost is higher: all strips of the row make room for it, so that they keep one scale.
        const above = Math.ceil((most / top - 1) * (STRIP.height - 2 * STRIP.edge));
        const { x, width } = strip.viewBox.baseVal;
        strip.setAttribute("viewBox", `${x} ${-above} ${width} ${STRIP.height + above}`);
        plot.querySelector(".ceiling").textContent = charts.unit({ ...row, top: most });
      }
    }
  }

  function read({ detail: place }) {
    if (!isShown()) return;
    for (const plot of document.querySelectorAll(".plot:has(.strip-place)")) {
      const path = plot.closest(".column").dataset.path;
      const known = ROWS[plot.dataset.row].map(([name, , show]) => [name, at(path, name, place), show]);
      const told = known.filter(([, value]) => value !== null).map(([name, value, show]) => `${NAMES[name]} ${show(value)}`);
      if (told.length === 0) continue;
      const part = document.createElement("span");
      part.className = "key ghost";
      part.textContent = `pinned: ${told.join(", ")}`;
      plot.querySelector(".readout").append(part);
    }
  }

  function percentile(figures, name) {
    const ms = figures[`${name}_ms`];
    if (ms !== null) return live.time(ms);
    return { not_reached: "not reached", too_few: "too few" }[figures[`${name}_why`]] ?? "not ended";
  }

  // The pinned run's figures, over the same window as the figures beside them.
  function figures() {
    for (const column of document.querySelectorAll(".column")) {
      const place = column.querySelector("[data-ghost=figures]");
      const of = isShown() && pinned.run.columns.find(({ path }) => path === column.dataset.path)?.windows[windowSeconds];
      place.hidden = !of || of.good_rate === null;
      if (place.hidden) continue;
      place.textContent = `pinned: ${live.percent(of.good_rate)} good, p50 ${percentile(of, "p50")}, p95 ${percentile(of, "p95")}`;
    }
  }

  // What the load's settings are called.
  const LOAD = {
    arrivals: "arrivals", burst: "burst", burst_every_ms: "ms between bursts", length_ms: "ms of load", rate: "rate",
    seed: "seed", strategies: "sent to",
  };

  // The load and all settings of a run, each with what it is called and its value.
  function settingsOf(run) {
    const sent = Object.entries(run.load).map(([name, text]) => [name, { label: LOAD[name], text }]);
    return Object.fromEntries([...sent, ...Object.entries(run.levers)]);
  }

  // Where this run's load and settings differ from the pinned run's.
  function differences(run) {
    const [then, now] = [settingsOf(pinned.run), settingsOf(run)];
    if (now.burst.text === "0" && then.burst.text === "0") delete now.burst_every_ms;
    const differ = Object.keys(now).filter((name) => then[name]?.text !== now[name].text);
    return differ.map((name) => `${now[name].label}: ${then[name]?.text ?? "–"} → ${now[name].text}`);
  }

  function note() {
    id("pinned").hidden = !pinned;
    id("unpin").hidden = !pinned;
    const run = shown?.run;
    const onCharts = Boolean(run) && (run.ended_second ?? shown.second) >= first();
    id("pin").disabled = !onCharts || isSame(run);
    if (!pinned) return;
    const moved = pinned.run.moved.map(({ second, text }) => `${text} after ${second - pinned.run.second} s`);
    const told = [`Pinned: ${load.inWords(pinned.run.load)}${moved.length ? `; moved while it ran: ${moved.join("; ")}` : ""}.`];
    if (isSame(run)) told.push("The next run is drawn over it.");
    else if (run) {
      const others = differences(run);
      told.push(others.length ? `This run differs: ${others.join(", ")}.` : "This run is sent the same and set the same.");
    }
    const text = told.join(" ");
    if (id("pinned-text").textContent !== text) id("pinned-text").textContent = text;
    const set = Object.values(settingsOf(pinned.run));
    id("pinned-settings").textContent = set.map(({ label, text }) => `${label}: ${text}`).join("\n");
  }

  function show({ detail }) {
    shown = detail;
    if (isSame(shown.run)) take();
    draw();
    figures();
    note();
  }

  function again() {
    charts.again();
    note();
    figures();
  }

  function pin() {
    pinned = { run: shown.run, points: {} };
    take();
    again();
  }

  function unpin() {
    pinned = null;
    keep();
    again();
    id("pin").focus();
  }

  return {
    start() {
      restore();
      document.addEventListener("charts", show);
      document.addEventListener("read", read);
      id("pin").addEventListener("click", pin);
      id("unpin").addEventListener("click", unpin);
      note();
    },
    // The window that figures cover.
    over(seconds) {
      windowSeconds = seconds;
      figures();
    },
  };
})();
