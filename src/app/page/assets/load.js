// The built-in load: its form, and what it sends, in words.
"use strict";

const load = (() => {
  const form = () => document.querySelector("form#load");
  const button = () => document.getElementById("load-button");
  const strategies = () => document.querySelectorAll("[name=strategies]");
  let now = null;
  // What each field was set to last by the server, by name.
  const applied = {};

  const SECONDS = { s: 1, m: 60, h: 3600 };
  const perSecond = (rate) => Number.parseFloat(rate) / SECONDS[String(rate).split("/")[1] ?? "s"];

  // A member of the status as its field shows it.
  function shown(field, status) {
    const value = status[field.name];
    if (field.dataset.scale) return String(value / Number(field.dataset.scale));
    return String(field.name === "rate" ? perSecond(value) : value);
  }

  // What it would send: what the form says, without a form what was sent last.
  function body() {
    if (form()) return forms.body(form());
    const { strategies, rate, arrivals, burst, burst_every_ms, length_ms, seed } = now ?? {};
    return { strategies, rate, arrivals, burst, burst_every_ms, length_ms, seed };
  }

  function inWords({ rate, arrivals, burst, burst_every_ms: every, length_ms: length, seed }) {
    const more = Number(burst) > 0 ? `, ${live.count(burst)} more every ${every / 1000} s` : "";
    return `${perSecond(rate)}/s to each (${arrivals}${more}, seed ${seed}), ${length / 1000} s`;
  }

  function summarise() {
    if (!form() && !now) return;
    for (const place of document.querySelectorAll("[data-load=all]")) place.textContent = inWords(body());
  }

  const chosen = () => [...strategies()].filter(({ checked }) => checked).map(({ value }) => value).join();
  const fields = () => form()?.querySelectorAll("[name]") ?? [];

  // A field shows what was sent last, whoever sent it, except where it is edited here.
  function follow(view) {
    now = view.load;
    for (const field of fields()) {
      // A seed may have more digits than a number here.
      if (field.name === "seed" && !Number.isSafeInteger(now.seed)) continue;
      const value = shown(field, now);
      if (value === applied[field.name]) continue;
      const isEdited = field.value !== applied[field.name];
      applied[field.name] = value;
      if (!isEdited) field.value = value;
    }
    const sent = now.strategies.join();
    if (sent !== applied.strategies) {
      const isEdited = chosen() !== applied.strategies;
      applied.strategies = sent;
      if (!isEdited) for (const box of strategies()) box.checked = now.strategies.includes(box.value);
    }
    summarise();
    if (!button()) return;
    button().textContent = { running: "Stop", draining: "Draining", idle: "Send load" }[now.state];
    button().classList.toggle("quiet", now.state !== "idle");
  }

  async function submit(event) {
    event.preventDefault();
    const wanted = body();
    if (now?.state === "running") await forms.send(form(), "POST", "/load/stop");
    else if (wanted.strategies.length === 0) {
      forms.complain(form(), { message: "Choose at least one strategy that gets load", field: null });
    } else if (await forms.send(form(), "POST", "/load/start", wanted)) address.remember();
  }

  return {
    body, inWords, follow,
    // The state of the load: how much it has sent, and how much of that is left.
    state({ load: status }) {
      const sent = `${live.count(status.offered)} offered, ${live.count(status.in_flight)} in flight`;
      const share = status.elapsed_ms > 0 ? `; the load's own thread took ${live.percent(status.cpu_ms / status.elapsed_ms)} of a core` : "";
      if (status.state === "running") {
        const left = Math.max(0, (status.length_ms - status.elapsed_ms) / 1000);
        const all = strategies().length || document.querySelectorAll(".column").length;
        const to = status.strategies.length === all ? `each of ${all} strategies` : status.strategies.join(", ");
        return `Sending ${status.rate} to ${to}, ${live.count(left)} s left: ${sent}${share}.`;
      }
      if (status.state === "draining") return `The load has ended; ${live.count(status.in_flight)} requests are still in flight.`;
      return status.elapsed_ms === 0 ? "No load from here yet." : `The last load: ${sent}${share}.`;
    },
    // The same in the words of `lab load --schedule`, or of its rate and length where there is no burst.
    schedule({ rate, burst, burst_every_ms: every, length_ms: length }) {
      const plain = perSecond(rate);
      if (Number(burst) === 0) return `--rate ${plain} --for ${length / 1000}s`;
      const parts = [];
      let left = length;
      for (; left > every; left -= every) parts.push(`${plain} for ${every / 1000}s, burst ${burst}`);
      return `--schedule '${[...parts, `${plain} for ${left / 1000}s`].join(", ")}'`;
    },
    start() {
      for (const field of fields()) applied[field.name] = field.value;
      applied.strategies = chosen();
      form()?.addEventListener("submit", submit);
      form()?.addEventListener("input", summarise);
      for (const box of strategies()) box.addEventListener("change", () => address.again());
      summarise();
    },
    enable(connected) {
      if (button()) button().disabled = !connected;
    },
  };
})();
