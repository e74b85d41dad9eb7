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

  // Watches the page's own path; `show` gets each status, and the text of every other event goes where its name says.
  watch(show, ...texts) {
    const on = {
      status(data) {
        const status = JSON.parse(data);
        live.state(status.state);
        show(status);
      },
      chart: (data) => { document.getElementById("chart").innerHTML = data; },
    };
    for (const name of texts) on[name] = (data) => { document.getElementById(name).textContent = data; };
    const events = new EventSource(location.pathname);
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
