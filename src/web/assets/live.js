// What every live page does: figures by their names, forms sent as JSON, buttons by the state, events.
"use strict";

const live = {
  figure: (name) => document.querySelector(`[data-figure="${name}"]`),

  set(name, text) {
    const cell = live.figure(name);
    if (cell) cell.textContent = text;
  },

  state(state) {
    document.getElementById("state").textContent = state;
    for (const button of document.querySelectorAll("[data-when]")) {
      button.disabled = button.dataset.when !== state;
    }
  },

  // Watches `path`; `on` has a function for the data of each event's name.
  watch(path, on) {
    const events = new EventSource(path);
    for (const name of Object.keys(on)) events.addEventListener(name, (event) => on[name](event.data));
    events.addEventListener("error", () => { document.getElementById("state").textContent = "not connected"; });
  },

  async send(form) {
    const message = document.getElementById("message");
    const fields = [...form.querySelectorAll("input, select")];
    const body = {};
    for (const { name, type, value } of fields) {
      if (value !== "") body[name] = type === "number" ? Number(value) : value;
    }
    message.textContent = "…";
    try {
      const answer = await fetch(form.dataset.path, {
        method: form.dataset.method,
        headers: { "content-type": "application/json" },
        body: fields.length ? JSON.stringify(body) : undefined,
      });
      const told = await answer.json();
      message.textContent = answer.ok ? form.dataset.done : `${told.title}: ${told.detail ?? answer.status}`;
      message.className = answer.ok ? "good" : "bad";
    } catch (error) {
      message.textContent = `no answer: ${error.message}`;
      message.className = "bad";
    }
  },
};

for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    live.send(form);
  });
}
