// Keeps the figures of the streams page current, and sends what its forms say.
"use strict";

const figure = (name) => document.querySelector(`[data-figure="${name}"]`);
const state = document.getElementById("state");
const message = document.getElementById("message");
let last = null;

function set(name, text) {
  const cell = figure(name);
  if (cell) cell.textContent = text;
}

function percentile(value) {
  return typeof value === "number" ? `${value.toFixed(1)} ms` : value;
}

function show(status) {
  state.textContent = status.state;
  for (const button of document.querySelectorAll("[data-when]")) {
    button.disabled = button.dataset.when !== status.state;
  }
  set("streams", status.streams);
  set("peers", status.peers);
  const run = status.run;
  if (!run) return;
  // Over the last tick; over the run for the first one.
  const before = last && last.elapsed_ms < run.elapsed_ms ? last : { elapsed_ms: 0, processed: 0 };
  const seconds = (run.elapsed_ms - before.elapsed_ms) / 1000;
  if (seconds > 0 && status.state !== "idle") {
    set("rate", ((run.processed - before.processed) / seconds).toFixed(1));
    figure("rate").closest(".card").querySelector(".label").textContent = "processed a second, now";
  }
  last = run;
  if (run.good_fraction !== null) set("good", `${(Math.floor(run.good_fraction * 1e4) / 1e2).toFixed(2)} %`);
  set("queued", `${run.queued} of ${status.buffer_size}`);
  set("busy", `${run.in_progress} of ${status.workers}`);
  set("p50", percentile(run.latency_ms.offered.p50_ms));
  set("p95", percentile(run.latency_ms.offered.p95_ms));
  set("p99", percentile(run.latency_ms.offered.p99_ms));
  set("dropped", run.dropped);
  set("processed", run.processed);
  set("generated", run.generated);
}

async function send(form) {
  const body = {};
  for (const field of form.querySelectorAll("input, select")) {
    if (field.value !== "") body[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  message.textContent = "…";
  try {
    const answer = await fetch(form.dataset.path, {
      method: form.dataset.method,
      headers: { "content-type": "application/json" },
      body: form.dataset.path === "/streams/stop" ? undefined : JSON.stringify(body),
    });
    const told = await answer.json();
    message.textContent = answer.ok ? form.dataset.done : `${told.title}: ${told.detail ?? answer.status}`;
    message.className = answer.ok ? "good" : "bad";
  } catch (error) {
    message.textContent = `no answer: ${error.message}`;
    message.className = "bad";
  }
}

for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}

const events = new EventSource("/streams");
events.addEventListener("status", (event) => show(JSON.parse(event.data)));
events.addEventListener("error", () => { state.textContent = "not connected"; });
