// The HTTP lab's page: the figures of each column, what is to be known of them, and all its parts together.
"use strict";

const page = (() => {
  const id = (name) => document.getElementById(name);
  let view = null;
  let spokenAt = -Infinity;

  const windowSeconds = () => document.querySelector("[name=window_s]:checked").value;

  function put(column, name, text) {
    const cell = column.querySelector(`[data-figure="${name}"]`);
    if (cell && cell.textContent !== text) cell.textContent = text;
    return cell;
  }

  const WHY = { not_reached: "not reached", too_few: "too few" };

  function percentile(figures, name) {
    const ms = figures[`${name}_ms`];
    if (ms !== null) return live.time(ms);
    return WHY[figures[`${name}_why`]] ?? `over ${live.time(view.age_ms)}`;
  }

  // The figures that are also shown of all strategies at a glance.
  function showFigures(place, figures) {
    const good = figures.good_rate;
    const rate = put(place, "good_rate", good === null ? "–" : live.percent(good));
    rate.classList.toggle("good", good !== null && good >= 0.95);
    rate.classList.toggle("bad", good !== null && good < 0.5);
    put(place, "p95", percentile(figures, "p95"));
  }

  function showColumn(column, told) {
    const figures = told.windows[windowSeconds()];
    showFigures(column, figures);
    showFigures(document.querySelector(`[data-glance="${told.path}"]`), figures);
    put(column, "offered", `${live.count(figures.offered)} (${live.rate(figures.offered_per_second)}/s)`);
    put(column, "p50", percentile(figures, "p50"));
    put(column, "in_flight", live.count(told.in_flight));
    const { limit } = told;
    put(column, "waiting", limit ? `${live.count(limit.waiting)}, limit ${limit.calls}` : "no limit");
    for (const name of ["shed", "deadline", "service_error", "unanswered"]) {
      const cell = put(column, name, live.count(figures[name]));
      cell.classList.toggle("bad", figures[name] > 0);
    }
    expect(column, told.expected);
    column.classList.toggle("young", figures.seconds < Number(windowSeconds()));
    put(column, "orphaned", told.orphaned === null ? "not known" : live.count(told.orphaned));
  }

  const EXPECTED = {
    p50_ms: ["p50 without load", live.time],
    p95_ms: ["p95 without load", live.time],
    timeout_share: ["time out", live.percent],
    in_flight: ["in flight", live.rate],
    carried_per_second: ["the limit carries", (rate) => `${live.rate(rate)}/s`],
    shed_share: ["shed", live.percent],
    mean_wait_ms: ["mean wait", live.time],
    waiting: ["waiting", live.rate],
    peak_per_second: ["B carries at most", (rate) => `${live.rate(rate)}/s`],
    peak_calls: ["with calls in B", live.rate],
    stable_in_flight: ["in flight, in balance", live.rate],
    tipping_in_flight: ["in flight, tips over", live.rate],
    collapse_after_ms: ["until it tips over", live.span],
  };

  function expect(column, lines) {
    const place = column.querySelector("[data-figure=expected]");
    const told = JSON.stringify(lines);
    if (place.dataset.told === told) return;
    place.dataset.told = told;
    // Two lines that are missing for the same reason are one.
    const same = (line, at) => line.value !== null || lines.findIndex(({ note }) => note === line.note) === at;
    place.replaceChildren(...lines.filter(same).map(({ name, value, value_why: why, trust, note }) => {
      const [label, show] = EXPECTED[name];
      const line = document.createElement("div");
      const [term, figure] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = label;
      figure.textContent = value === null
        ? (why === "no_steady_state" ? note : why.replace("_", " "))
        : `${trust === "approximate" ? "≈ " : ""}${show(value)}`;
      line.append(term, figure);
      return line;
    }));
    column.querySelector("[data-figure=sources]").replaceChildren(...lines.map(({ name, note }) => {
      const item = document.createElement("li");
      item.textContent = `${EXPECTED[name][0]}: ${note}`;
      return item;
    }));
  }

  function notices() {
    const figures = view.columns[0]?.windows[windowSeconds()];
    const wanted = Number(windowSeconds());
    const told = [];
    if (figures && figures.seconds < wanted && view.moved && !view.ended) {
      told.push(`Figures begin anew at each change: ${figures.seconds} of ${wanted} s since ${view.moved.text}.`);
    }
    const { slower, left_ms: left } = view.trigger;
    if (slower > 1) told.push(`The trigger acts: B takes ${slower} times as long, for ${live.count(left / 1000)} s more.`);
    if (view.ended) {
      told.push(`The figures are those of the load that ended ${live.count(view.age_ms / 1000)} s ago.`);
    }
    if (view.shared_services) told.push("All strategies call the same A and B: what one does, the others feel.");
    told.push(...lateness());
    const sources = new Set(view.columns.map(({ windows }) => windows[windowSeconds()].source));
    if (!sources.has("load") && view.columns.some(({ windows }) => windows[windowSeconds()].offered > 0)) {
      told.push("Load from outside: offered is what reached the server, timed from its arrival there.");
    }
    return told.join(" ");
  }

  // A load that is sent late adds to every time. The page says so from a hundredth of the shortest p50 on; below two
  // milliseconds it is within the precision of the machine's timers.
  function lateness() {
    const { own_lag_ms: lag, late } = view.load;
    if (!late) return [];
    const shown = view.columns.map(({ path, windows }) => ({ path, ms: windows[windowSeconds()].p50_ms }));
    const least = shown.filter(({ ms }) => ms !== null).sort((one, other) => one.ms - other.ms)[0];
    const share = lag / (least?.ms ?? view.slo_ms);
    if (share < 0.01) return [];
    const of = least ? `p50 of ${least.path}` : "objective";
    return [`The built-in load sends up to ${live.time(lag)} late (p99), which is in every time shown: up to ${live.percent(share)} of the ${of}.`];
  }

  function show(data) {
    view = JSON.parse(data);
    levers.follow(view);
    load.follow(view);
    for (const column of document.querySelectorAll(".column")) {
      const told = view.columns.find(({ path }) => path === column.dataset.path);
      if (told) showColumn(column, told);
    }
    id("load-state").textContent = load.state(view);
    id("notice").textContent = notices();
    ghost.over(windowSeconds());
    curve.follow(view);
    speak();
    address.again();
    charts.refresh();
  }

  // A summary for screen readers, at most every five seconds.
  function speak() {
    if (performance.now() - spokenAt < 5000 || view.load.state !== "running") return;
    spokenAt = performance.now();
    id("spoken").textContent = view.columns
      .map(({ path, windows }) => {
        const figures = windows[windowSeconds()];
        const good = figures.good_rate === null ? "no requests" : `${live.percent(figures.good_rate)} good`;
        return `${path}: ${good}, p95 ${percentile(figures, "p95")}`;
      })
      .join("; ");
  }

  const isProjected = () => document.body.classList.contains("projector");

  // A view for a class: large, without levers, columns and charts on the first screen.
  function project(on) {
    id("projector").setAttribute("aria-pressed", on);
    id("projector").textContent = on ? "Leave projector" : "Projector";
    document.body.classList.toggle("projector", on);
  }

  // On a narrow screen what stands above the columns is folded.
  function fold() {
    const narrow = matchMedia("(max-width: 40rem)");
    const follow = () => { for (const one of document.querySelectorAll(".fold")) one.open = !narrow.matches; };
    narrow.addEventListener("change", follow);
    follow();
  }

  function connected({ detail: yes }) {
    load.enable(yes);
    for (const actions of document.querySelectorAll("[data-needs-server]")) actions.disabled = !yes;
    if (!yes) id("notice").textContent = "Not connected: what is shown is old.";
  }

  function start() {
    fold();
    flow.start();
    load.start();
    levers.start();
    stories.start();
    ghost.start();
    charts.start();
    curve.start();
    id("window").addEventListener("change", () => { address.remember(); if (view) show(JSON.stringify(view)); });
    const pressed = (button) => button.getAttribute("aria-pressed") === "true";
    id("pause").addEventListener("click", ({ target }) => {
      target.setAttribute("aria-pressed", !pressed(target));
      flow.pause(pressed(target));
    });
    id("projector").addEventListener("click", () => {
      project(!isProjected());
      address.remember();
    });
    address.restore();
    document.addEventListener("connected", connected);
    live.stream({ flow: flow.tick, view: show, story: stories.show });
  }

  return { start, windowSeconds, isProjected, project, view: () => view };
})();

page.start();
