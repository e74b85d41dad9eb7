// The HTTP lab's page: figures, the built-in load, levers, and the address that restores them.
"use strict";

const page = (() => {
  const id = (name) => document.getElementById(name);
  const mayChange = () => id("load").dataset.mayChange === "yes";
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

  function showColumn(column, told) {
    const figures = told.windows[windowSeconds()];
    const good = figures.good_rate;
    const rate = put(column, "good_rate", good === null ? "–" : live.percent(good));
    rate.classList.toggle("good", good !== null && good >= 0.95);
    rate.classList.toggle("bad", good !== null && good < 0.5);
    put(column, "offered", `${live.count(figures.offered)} (${live.rate(figures.offered_per_second)}/s)`);
    put(column, "p50", percentile(figures, "p50"));
    put(column, "p95", percentile(figures, "p95"));
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
      line.title = note;
      line.append(term, figure);
      return line;
    }));
  }

  function notices() {
    const figures = view.columns[0]?.windows[windowSeconds()];
    const wanted = Number(windowSeconds());
    const told = [];
    if (figures && figures.seconds < wanted && view.moved && !view.ended) {
      told.push(`Figures begin anew at each change (${view.moved.text}): ${figures.seconds} of ${wanted} s so far.`);
    }
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

  function loadInWords() {
    const { load } = view;
    const sent = `${live.count(load.offered)} offered, ${live.count(load.in_flight)} in flight`;
    const share = load.elapsed_ms > 0 ? `; the load's own thread took ${live.percent(load.cpu_ms / load.elapsed_ms)} of a core` : "";
    if (load.state === "running") {
      const left = Math.max(0, (load.length_ms - load.elapsed_ms) / 1000);
      return `Sending ${load.rate} to each of ${load.strategies.length} strategies, ${live.count(left)} s left: ${sent}${share}.`;
    }
    if (load.state === "draining") return `The load has ended; ${live.count(load.in_flight)} requests are still in flight.`;
    return load.elapsed_ms === 0 ? "No load from here yet." : `The last load: ${sent}${share}.`;
  }

  // A field shows the setting in force, whoever changed it, except while it is being edited here.
  function follow() {
    for (const field of document.querySelectorAll(".lever [name]")) {
      const set = view.levers[field.name];
      if (set === undefined || set === field.dataset.applied) continue;
      const isEdited = field.value !== field.dataset.applied;
      field.dataset.applied = set;
      if (!isEdited) field.value = set;
      field.dispatchEvent(new Event("input"));
    }
    if (view.load.state === "idle") return;
    for (const field of id("load").querySelectorAll("[name]")) {
      // A seed may have more digits than a number here.
      if (field === document.activeElement || field.name === "seed") continue;
      const sent = view.load[field.name];
      const text = field.name === "rate" ? String(sent).replace("/s", "") : String(sent / (field.dataset.scale ?? 1) || sent);
      if (!Number.isNaN(Number(text)) || field.name === "arrivals") field.value = text;
    }
  }

  function show(data) {
    view = JSON.parse(data);
    follow();
    for (const column of document.querySelectorAll(".column")) {
      const told = view.columns.find(({ path }) => path === column.dataset.path);
      if (told) showColumn(column, told);
    }
    id("load-state").textContent = loadInWords();
    id("notice").textContent = notices();
    const { slower, left_ms: left } = view.trigger;
    const acts = id("trigger-state");
    if (acts) acts.textContent = slower > 1 ? `B takes ${slower} times as long, for ${live.count(left / 1000)} s more.` : "";
    const button = id("load-button");
    const busy = view.load.state !== "idle";
    button.textContent = view.load.state === "running" ? "Stop" : busy ? "Draining" : "Send load";
    button.classList.toggle("quiet", busy);
    ghost.over(windowSeconds());
    curve.follow(view);
    speak();
    again();
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

  // The load form as a request body.
  function loadBody(form) {
    const body = {};
    for (const field of form.querySelectorAll("input, select")) {
      const scale = Number(field.dataset.scale ?? 1);
      // A seed may have more digits than a number here.
      if (field.type !== "number" || field.name === "seed") body[field.name] = field.value;
      else body[field.name] = field.name === "rate" ? field.value : Number(field.value) * scale;
    }
    return body;
  }

  function complain(form, error) {
    const place = form.querySelector(".error");
    place.textContent = error ? error.message : "";
    for (const field of form.querySelectorAll("input, select")) {
      const guilty = error && (error.field === field.name || form.querySelectorAll("[name]").length === 1);
      field.toggleAttribute("aria-invalid", Boolean(guilty));
    }
  }

  async function submitLoad(event) {
    event.preventDefault();
    const form = event.target;
    try {
      if (view?.load.state === "running") await live.ask("POST", "/load/stop");
      else await live.ask("POST", "/load/start", loadBody(form));
      complain(form, null);
      remember();
    } catch (error) {
      complain(form, error);
    }
  }

  async function pullTrigger(event) {
    event.preventDefault();
    try {
      await live.ask("POST", "/trigger", loadBody(event.target));
      complain(event.target, null);
    } catch (error) {
      complain(event.target, error);
    }
  }

  const predicted = new Map();

  async function tellStory(event) {
    event.preventDefault();
    const form = event.target;
    const name = form.dataset.story;
    try {
      if (form.dataset.told === "yes") await live.ask("POST", "/story/stop");
      else {
        predicted.set(name, new FormData(form).get("prediction"));
        form.querySelector(".outcome").textContent = "";
        await live.ask("POST", "/story/start", { story: name });
      }
      complain(form, null);
    } catch (error) {
      complain(form, error);
    }
  }

  function showStory(data) {
    const told = JSON.parse(data);
    for (const form of document.querySelectorAll(".story")) {
      const name = form.dataset.story;
      const isTold = told.story === name;
      form.dataset.told = isTold ? "yes" : "no";
      form.classList.toggle("told", isTold);
      const button = form.querySelector("button");
      if (button) {
        button.disabled = told.state !== "idle" && !isTold;
        button.textContent = isTold ? `Stop, about ${live.count(told.left_ms / 1000)} s left` : button.dataset.label;
        button.classList.toggle("quiet", isTold);
      }
      for (const field of form.querySelectorAll("[name=prediction]")) field.disabled = told.state !== "idle";
      if (told.last?.story !== name) continue;
      const { answer, text } = told.last;
      const guess = predicted.get(name);
      const start = answer === null ? "" : `Measured: ${answer}. `;
      form.querySelector(".outcome").textContent = `${guess ? `You predicted: ${guess}. ` : ""}${start}${text}`;
    }
  }

  function lever(form) {
    const field = form.querySelector("[name]");
    const slider = form.querySelector("[type=range]");
    const button = form.querySelector("button");
    const changed = () => { if (button) button.disabled = field.value === field.dataset.applied; };
    field.dataset.applied = field.value;
    slider?.addEventListener("input", () => { field.value = slider.value; changed(); });
    slider?.addEventListener("change", () => form.requestSubmit());
    field.addEventListener("input", () => { if (slider) slider.value = field.value; changed(); });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const value = field.type === "number" ? Number(field.value) : field.value;
      try {
        await live.ask("PATCH", "/settings", { [field.name]: value });
        field.dataset.applied = field.value;
        complain(form, null);
        changed();
        remember();
      } catch (error) {
        complain(form, error);
      }
    });
  }

  // Writes the choices and fields on the screen into the address's fragment, which no server sees.
  function remember() {
    const kept = new URLSearchParams({ window_s: windowSeconds(), span_s: id("span").value });
    for (const field of id("load").querySelectorAll("[name]")) kept.set(field.name, field.value);
    for (const field of document.querySelectorAll(".lever [name]")) kept.set(field.name, field.dataset.applied);
    history.replaceState(null, "", `#${kept}`);
    again();
  }

  // Fills the fields from the address. No setting changes until Apply is pressed.
  function restore() {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of kept) {
      if (name === "window_s") {
        const choice = document.querySelector(`[name=window_s][value="${CSS.escape(value)}"]`);
        if (choice) choice.checked = true;
        continue;
      }
      const field = document.querySelector(`#load [name="${CSS.escape(name)}"], .lever [name="${CSS.escape(name)}"]`);
      if (!field || field.disabled) continue;
      field.value = value;
      field.dispatchEvent(new Event("input"));
    }
    id("apply").hidden = !document.querySelector(".lever button:not(:disabled)");
  }

  async function applyAll() {
    for (const form of document.querySelectorAll(".lever")) {
      const button = form.querySelector("button");
      if (button && !button.disabled) form.requestSubmit();
    }
    id("apply").hidden = true;
  }

  function again() {
    const place = id("again");
    const host = place.dataset.host;
    const form = loadBody(id("load"));
    const settings = {};
    for (const field of document.querySelectorAll(".lever [name]")) {
      settings[field.name] = field.type === "number" ? Number(field.dataset.applied) : field.dataset.applied;
    }
    const paths = view ? view.columns.map(({ path }) => path) : [];
    const arrivals = form.arrivals === "poisson" ? ` --arrivals poisson --seed ${form.seed}` : "";
    const seconds = form.length_ms / 1000;
    const text = [
      `curl -s -X PATCH http://${host}/settings -H 'Content-Type: application/json' -d '${JSON.stringify(settings)}'`,
      `curl -s -X POST http://${host}/load/start -H 'Content-Type: application/json' -d '${JSON.stringify(form)}'`,
      ...paths.map((path) => `lab load http://${host}${path} --rate ${form.rate} --for ${seconds}s${arrivals}`),
    ].join("\n");
    if (place.textContent !== text) place.textContent = text;
  }

  function start() {
    flow.start();
    ghost.start();
    charts.start();
    curve.start(complain);
    id("load").addEventListener("submit", submitLoad);
    for (const form of document.querySelectorAll(".story")) form.addEventListener("submit", tellStory);
    id("trigger")?.addEventListener("submit", pullTrigger);
    document.querySelectorAll(".lever").forEach(lever);
    id("window").addEventListener("change", () => { remember(); if (view) show(JSON.stringify(view)); });
    const pressed = (button, act) => button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", on);
      act(on);
    });
    pressed(id("pause"), (on) => flow.pause(on));
    pressed(id("projector"), (on) => document.body.classList.toggle("projector", on));
    id("apply").addEventListener("click", applyAll);
    restore();
    again();
    document.addEventListener("connected", ({ detail: connected }) => {
      id("load-button").disabled = !connected || !mayChange();
      if (!connected) id("notice").textContent = "Not connected: what is shown is old.";
    });
    live.stream({ flow: flow.tick, view: show, story: showStory });
  }

  return { start };
})();

page.start();
