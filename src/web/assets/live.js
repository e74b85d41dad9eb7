// Shared by all live pages: how numbers are written, the page's stream of events, and requests to the server.
"use strict";

const live = {
  // Numbers are written as the server writes them: 7,304; 1.82 s; 347 ms.
  count: (number) => Math.round(number).toLocaleString("en"),
  rate: (number) => (number < 10 ? number.toFixed(1) : live.count(number)),
  time(ms) {
    if (ms === 0) return "0 ms";
    const [value, unit] = ms >= 999.5 ? [ms / 1000, "s"] : ms >= 0.9995 ? [ms, "ms"] : [ms * 1000, "µs"];
    return `${value < 99.95 ? value.toFixed(value < 9.995 ? 2 : 1) : live.count(value)} ${unit}`;
  },
  // Longer ones, roughly: 95 s; 9 min; 2.2 days.
  span(ms) {
    const units = [["years", 31_536_000], ["days", 86_400], ["h", 3600], ["min", 60]];
    const [unit, length] = units.find(([, length]) => ms / 1000 >= 2 * length) ?? ["s", 1];
    return `${live.rate(ms / 1000 / length)} ${unit}`;
  },
  // Cut, not rounded: 99.996 % must not read as all.
  percent: (share) => `${(Math.floor(share * 1e3 + 1e-9) / 10).toFixed(1)} %`,

  // The page's own stream, closed while the page is hidden. While it is broken the page says so and disables its actions.
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
      events.addEventListener("error", () => {
        connected(false);
        // A browser reconnects by itself, unless the answer was not a stream.
        if (events?.readyState === EventSource.CLOSED) setTimeout(again, 2_000);
      });
    };
    const again = () => { if (!document.hidden && events?.readyState === EventSource.CLOSED) open(); };
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && events) {
        events.close();
        events = null;
      } else if (!document.hidden && !events) open();
    });
    if (!document.hidden) open();
  },

  // Sends a request; a refusal is thrown as an error with its text and the field that it names.
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
};
