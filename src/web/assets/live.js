// What every live page does: one stream of events, figures by their names, forms sent as JSON, buttons by the state.
"use strict";

const live = {
  figure: (name) => document.querySelector(`[data-figure="${name}"]`),

  set(name, text) {
    const cell = live.figure(name);
    if (cell && cell.textContent !== String(text)) cell.textContent = text;
  },

  state(state) {
    document.getElementById("state").textContent = state;
    for (const button of document.querySelectorAll("form[data-path] button")) {
      button.disabled = Boolean(button.dataset.when) && button.dataset.when !== state;
    }
  },

  // Numbers as people read them: 7,304; 1.82 s; 347 ms.
  count: (number) => Math.round(number).toLocaleString("en"),
  rate: (number) => (number < 10 ? number.toFixed(1) : live.count(number)),
  time(ms) {
    if (ms === 0) return "0 ms";
    if (ms < 1) return `${Math.round(ms * 1000)} µs`;
    if (ms < 999.5) return `${ms.toPrecision(3).replace(/\.0+$/, "")} ms`;
    return ms < 99_950 ? `${(ms / 1000).toPrecision(3)} s` : `${live.count(ms / 1000)} s`;
  },
  // Cut, not rounded: 99.996 % must not read as all.
  percent: (share) => `${(Math.floor(share * 1e4) / 1e2).toFixed(1)} %`,

  // The page's own stream, closed while nobody looks. While it is broken the page says so and nothing can be done.
  stream(on) {
    let events = null;
    const connected = (yes) => {
      document.body.classList.toggle("stale", !yes);
      document.dispatchEvent(new CustomEvent("connected", { detail: yes }));
    };
    const open = () => {
      events = new EventSource(location.pathname);
      for (const name of Object.keys(on)) {
        events.addEventListener(name, (event) => {
          if (document.body.classList.contains("stale")) connected(true);
          on[name](event.data);
        });
      }
      events.addEventListener("error", () => connected(false));
    };
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && events) {
        events.close();
        events = null;
      } else if (!document.hidden && !events) open();
    });
    if (!document.hidden) open();
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
    document.addEventListener("connected", ({ detail: connected }) => {
      if (connected) return;
      document.getElementById("state").textContent = "not connected";
      // What is shown is old, and nothing can be done: the next status says what can.
      for (const button of document.querySelectorAll("form[data-path] button")) button.disabled = true;
    });
    live.stream(on);
  },

  // Asks the server to do something; what it refuses is thrown with its field, in words.
  async ask(method, path, body) {
    let answer;
    try {
      answer = await fetch(path, {
        method,
        headers: { "content-type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      throw Object.assign(new Error(`no answer: ${error.message}`), { field: null });
    }
    const told = await answer.json();
    if (answer.ok) return told;
    throw Object.assign(new Error(told.detail ?? told.title), { field: told.field ?? told.parameter ?? null });
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
      await live.ask(form.dataset.method, form.dataset.path, fields.length ? body : undefined);
      message.textContent = form.dataset.done;
      message.className = "good";
    } catch (error) {
      message.textContent = error.message;
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
