// Keeps the figures of the pipeline page current, and sends what its forms say.
"use strict";

const state = document.getElementById("state");
const message = document.getElementById("message");

function set(name, text) {
  const cell = document.querySelector(`[data-figure="${name}"]`);
  if (cell) cell.textContent = text;
}

function show(status) {
  state.textContent = status.phase;
  for (const button of document.querySelectorAll("[data-when]")) {
    button.disabled = button.dataset.when !== status.phase;
  }
  set("backlog", status.backlog);
  set("workers", `${status.workers} of ${status.min_workers} to ${status.max_workers}`);
  set("running", status.running);
  set("queued", `${status.queued} of ${status.queue_capacity}`);
  set("retrying", status.retrying);
  set("succeeded", status.succeeded);
  set("permanently_failed", status.permanently_failed);
  set("policy", status.policy);
  set("rate", status.rate);
}

async function send(form) {
  const body = {};
  for (const field of form.querySelectorAll("input, select")) {
    if (field.value !== "") body[field.name] = field.value;
  }
  message.textContent = "…";
  try {
    const answer = await fetch(form.dataset.path, {
      method: form.dataset.method,
      headers: { "content-type": "application/json" },
      body: form.dataset.method === "PATCH" ? JSON.stringify(body) : undefined,
    });
    const told = await answer.json();
    message.textContent = answer.ok ? form.dataset.done : `${told.title}: ${told.detail ?? answer.status}`;
    message.className = answer.ok ? "good" : "bad";
    if (answer.ok) show(told);
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

const events = new EventSource("/pipeline");
events.addEventListener("status", (event) => show(JSON.parse(event.data)));
events.addEventListener("chart", (event) => { document.getElementById("chart").innerHTML = event.data; });
events.addEventListener("log", (event) => { document.getElementById("log").textContent = event.data; });
events.addEventListener("error", () => { state.textContent = "not connected"; });
