// The page of a system that starts, runs, drains and stops. Its texts come from the server as they are shown; here they
// are put in their places, and what the fields say is sent.
"use strict";

(() => {
  const id = (name) => document.getElementById(name);
  const path = location.pathname;
  const button = id("run-button");
  const SPOKEN_EVERY_MS = 5_000;
  // After a run has ended its last point may come a moment later.
  const LAST_LOOKS = 3;
  let state = id("state").dataset.state;
  // The page itself is what the server said first; nothing can be done before its stream has begun.
  let heardAt = performance.now();
  let isHeard = false;
  let looks = 0;
  let spokenAt = -Infinity;
  let hasRun = false;

  const put = (place, text) => { if (place && place.textContent !== text) place.textContent = text; };

  // A setting: what its field holds, as the server writes it, and what is set.
  function setting(box) {
    const input = box.querySelector("[name]");
    const unit = box.querySelector("[data-unit]");
    const error = box.querySelector(".error");
    const name = box.dataset.name;
    const isAlone = () => Boolean(unit) && unit.selectedOptions[0].dataset.min === undefined;
    const read = () => (unit ? (isAlone() ? "" : input.value) + unit.value : input.value);
    const isEdited = () => read() !== box.dataset.applied;

    function write(value) {
      if (unit) {
        unit.value = [...unit.options].find((option) => value.endsWith(option.value))?.value ?? unit.value;
        input.value = value.slice(0, value.length - unit.value.length);
      } else input.value = value;
    }

    // Who types is not disturbed: what others have set meanwhile is shown when the field is left.
    function follow(value) {
      if (value === box.dataset.applied || box.contains(document.activeElement)) return;
      const edited = isEdited();
      box.dataset.applied = value;
      if (!edited) write(value);
    }

    function enable(may) {
      input.disabled = !may || isAlone();
      if (unit) {
        unit.disabled = !may;
        const { min, max } = unit.selectedOptions[0].dataset;
        Object.assign(input, { min: min ?? "", max: max ?? "" });
      }
    }

    function complain(text) {
      put(error, text);
      input.toggleAttribute("aria-invalid", text !== "");
    }

    return {
      name, read, isEdited, follow, enable, complain, input,
      label: input.labels[0].firstChild.textContent.trim(),
      whileRunning: box.dataset.running === "yes",
      applied: (value) => { box.dataset.applied = value; },
    };
  }

  const settings = [...document.querySelectorAll(".field")].map(setting);
  const changed = () => settings.filter((one) => one.whileRunning && one.isEdited());

  // What can be done: nothing while nobody answers.
  function enable() {
    const isStale = document.body.classList.contains("stale");
    for (const one of settings) {
      one.enable(!isStale && (state === "idle" || (state === "running" && one.whileRunning)));
    }
    if (!button) return;
    const connected = isHeard && !isStale;
    button.disabled = !connected || state === "draining";
    button.classList.toggle("quiet", state !== "idle");
    put(button, button.dataset[state]);
    id("set").hidden = state !== "running" || changed().length === 0;
    id("set").disabled = !connected;
    const hint = id("settings-hint");
    put(hint, hint.dataset[state]);
  }

  function show(data) {
    const { clock, figures, fields, spoken, log } = JSON.parse(data);
    heardAt = performance.now();
    isHeard = true;
    if (clock.state !== state) looks = 0;
    state = clock.state;
    id("state").dataset.state = state;
    put(id("state"), clock.word);
    put(id("clock"), clock.text);
    for (const [name, figure] of Object.entries(figures)) {
      for (const place of document.querySelectorAll(`[data-figure="${name}"]`)) put(place, figure.value);
      for (const place of document.querySelectorAll(`[data-label="${name}"]`)) put(place, figure.label);
      for (const card of document.querySelectorAll(`[data-card="${name}"]`)) {
        card.dataset.mood = figure.mood;
        if (figure.level) Object.assign(card.querySelector("meter"), figure.level);
      }
    }
    for (const one of settings) one.follow(fields[one.name].value);
    for (const place of document.querySelectorAll("[data-setting]")) put(place, fields[place.dataset.setting].text);
    if (log !== null) put(id("log"), log);
    if (state !== "idle" || looks < LAST_LOOKS) charts.refresh();
    looks += 1;
    speak(`${clock.word} ${clock.text}: ${spoken}`);
    enable();
  }

  // A summary for screen readers, at most every five seconds, and one of the run's end.
  function speak(text) {
    hasRun ||= state !== "idle";
    if (!hasRun || performance.now() - spokenAt < SPOKEN_EVERY_MS) return;
    hasRun = state !== "idle";
    spokenAt = performance.now();
    put(id("spoken"), text);
  }

  function complain(error) {
    const guilty = error && settings.find(({ name }) => name === error.field);
    const said = guilty ? `${guilty.label}: ${error.message.replace(`${error.field}: `, "")}` : error?.message ?? "";
    for (const one of settings) one.complain(one === guilty ? said : "");
    put(id("refused"), said);
    guilty?.input.focus();
  }

  async function ask(method, where, sent) {
    button.disabled = true;
    try {
      const body = sent && Object.fromEntries(sent.map((one) => [one.name, one.read()]));
      ({ state } = await live.ask(method, where, body));
      for (const one of sent ?? []) one.applied(body[one.name]);
      complain(null);
    } catch (error) {
      complain(error);
    }
    enable();
  }

  const start = () => ask("POST", `${path}/start`, settings);
  const press = () => (state === "idle" ? start() : ask("POST", `${path}/stop`));

  function submit(event) {
    event.preventDefault();
    if (state === "idle") start();
    else if (changed().length > 0) ask("PATCH", path, changed());
  }

  // While the page is not connected it says how old its figures are.
  function age() {
    const isOld = document.body.classList.contains("stale");
    const seconds = Math.round((performance.now() - heardAt) / 1000);
    put(id("old"), isOld ? `Not connected: what is shown is ${seconds} s old.` : "");
  }

  button?.addEventListener("click", press);
  id("settings")?.addEventListener("submit", submit);
  id("settings")?.addEventListener("input", enable);
  document.addEventListener("connected", () => {
    looks = 0;
    age();
    enable();
  });
  setInterval(age, 1_000);
  charts.start();
  live.stream({ page: show });
})();
