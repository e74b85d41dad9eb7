// The queue's page. The board comes from the server as it is shown; here its parts are put in their places, and what the
// forms and buttons say is sent.
"use strict";

(() => {
  const id = (name) => document.getElementById(name);
  const root = document.querySelector(".queue");
  const base = root.dataset.base;
  const put = (place, text) => { if (place.textContent !== text) place.textContent = text; };
  let heardAt = performance.now();

  // Replaces the parts that changed. A part that somebody uses is left alone until it is left.
  function show(data) {
    heardAt = performance.now();
    const next = new DOMParser().parseFromString(data, "text/html");
    for (const part of next.body.querySelectorAll("[id]")) {
      const place = part.parentElement === next.body && id(part.id);
      if (!place || place.contains(document.activeElement) || place.innerHTML === part.innerHTML) continue;
      place.replaceChildren(...part.childNodes);
    }
  }

  function complain(error) { put(id("refused"), error?.message ?? ""); }

  // Sends what a form says; its own lines tell what came of it.
  async function send(form, ask) {
    const [error, said] = [form.querySelector(".error"), form.querySelector(".said")];
    const button = form.querySelector("button");
    button.disabled = true;
    put(error, "");
    if (said) put(said, "");
    try {
      const told = await ask(new FormData(form));
      if (said && told) put(said, told);
    } catch (refused) {
      put(error, refused.message);
      form.elements[refused.field]?.focus();
    }
    button.disabled = false;
  }

  const on = (name, ask) => id(name)?.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.target, ask);
  });

  function json(text) {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw Object.assign(new Error(`payload: no JSON: ${error.message}`), { field: "payload" });
    }
  }

  on("enqueue", async (form) => {
    const body = {
      type: form.get("type"),
      payload: json(form.get("payload") || "null"),
      priority: form.get("priority"),
      max_attempts: Number(form.get("max_attempts")),
    };
    if (form.get("group")) body.group = form.get("group");
    if (Number(form.get("delay_s")) > 0) body.delay_ms = Number(form.get("delay_s")) * 1000;
    const told = await live.ask("POST", `${base}/task`, body);
    return `Queued as ${told.task_id} (${told.durability}).`;
  });

  on("rule", async (form) => {
    const [scope, name] = [form.get("scope"), form.get("name")];
    if (scope !== "queue" && !name) throw Object.assign(new Error("name: which one?"), { field: "name" });
    const body = scope === "queue" ? {} : { [scope]: name };
    if (form.get("paused")) body.paused = form.get("paused") === "yes";
    if (form.get("in_flight_limit")) body.in_flight_limit = Number(form.get("in_flight_limit")) || null;
    if (form.get("rate")) body.rate = Number(form.get("rate")) ? `${form.get("rate")}/s` : null;
    await live.ask("PATCH", `${base}/rules`, body);
    return "Set.";
  });

  let found = null;

  async function find(task) {
    const told = await live.ask("GET", `${base}/task/${encodeURIComponent(task)}`);
    const rows = Object.entries(told).filter(([name, value]) => value !== null && name !== "schema");
    id("found").replaceChildren(...rows.map(([name, value]) => {
      const row = document.createElement("div");
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name.replace(/_ms$/, "").replaceAll("_", " ");
      text.textContent = name.endsWith("_ms") ? new Date(value).toISOString() : value;
      row.append(term, text);
      return row;
    }));
    found = told.task_id;
    id("found-actions").hidden = root.dataset.mayChange !== "yes" || !["pending", "delayed", "in_flight"].includes(told.state);
  }

  on("find", async (form) => {
    id("found").replaceChildren();
    id("found-actions").hidden = true;
    await find(form.get("id").trim());
  });

  async function change(ask) {
    try {
      complain(null);
      put(id("said"), await ask());
    } catch (error) {
      complain(error);
    }
  }

  const bodies = {
    cancel: async (task) => {
      const { status } = await live.ask("DELETE", `${base}/task/${task}`);
      return status === "stopping" ? "Its worker is told to stop it." : "Cancelled.";
    },
    "run-now": async (task) => {
      await live.ask("POST", `${base}/task/${task}/run-now`);
      return "It may start now.";
    },
  };

  const asked = { replay: "Start", discard: "Delete" };

  const lift = ({ lift: field, name }) => async () => {
    const lifted = { paused: false, in_flight_limit: null, rate: null };
    await live.ask("PATCH", `${base}/rules`, field ? { [field]: name, ...lifted } : lifted);
    return "Lifted.";
  };

  async function dead(act, body, what) {
    if (!confirm(`${asked[act]} ${what}?`)) return;
    await change(async () => {
      const { changed } = await live.ask("POST", `${base}/dead/${act}`, body);
      return `${live.count(changed)} ${act === "replay" ? "started anew" : "deleted"}.`;
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { task, dead: act, id: letter } = button.dataset;
    if (task) change(() => bodies[task](found)).then(() => find(found)).catch(complain);
    else if (act) dead(act, { ids: [letter] }, `the dead letter ${letter}`);
    else if ("lift" in button.dataset) change(lift(button.dataset));
    // What was pressed must not keep its part from being updated.
    if (button.closest("#board")) button.blur();
  });

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-bulk]")) return;
    event.preventDefault();
    const form = new FormData(event.target);
    const body = {};
    if (form.get("type")) body.type = form.get("type");
    if (form.get("because")) body.because = form.get("because");
    const which = Object.values(body).join(", ") || "whatever they are";
    dead(event.submitter.value, body, `all dead letters (${which})`);
  });

  function age() {
    const isOld = document.body.classList.contains("stale");
    const seconds = Math.round((performance.now() - heardAt) / 1000);
    put(id("old"), isOld ? `Not connected: what is shown is ${seconds} s old.` : "");
  }

  document.addEventListener("connected", age);
  setInterval(age, 1_000);
  live.stream({ board: show });
})();
