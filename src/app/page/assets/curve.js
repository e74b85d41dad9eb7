// The curve of B's service time beside its lever: of the setting in force, or of the value that is being typed. The
// server draws it and checks the value.
"use strict";

const curve = (() => {
  const TYPED_MS = 500;
  // The settings that the curve depends on.
  const LEVERS = ["service_b_latency", "async_timeout_ms", "async_limit_max_wait_ms"];

  let drawn = null;
  let asked = 0;
  let typing = null;

  const place = (name) => document.querySelector(`#curve [data-curve="${name}"]`);
  const field = () => document.querySelector(".lever [name=service_b_latency]");
  const isTyped = () => Boolean(field()) && field().value !== field().dataset.applied;

  function show(told, preview) {
    place("title").textContent = told.title;
    place("preview").hidden = !preview;
    place("picture").innerHTML = told.svg;
    place("top").textContent = live.time(told.top_ms);
    place("against").replaceChildren(...told.against.map(({ name, text }) => {
      const line = document.createElement("li");
      line.className = name;
      line.textContent = text;
      return line;
    }));
  }

  // A refusal of what was typed is shown beside it.
  async function ask(typed) {
    const mine = ++asked;
    const preview = isTyped();
    const query = preview ? `?${new URLSearchParams({ service_b_latency: field().value })}` : "";
    try {
      const told = await live.ask("GET", `/view/curve${query}`);
      if (mine !== asked) return;
      if (typed) forms.complain(field().form, null);
      show(told, preview);
    } catch (error) {
      if (mine === asked && typed) forms.complain(field().form, error);
    }
  }

  return {
    start() {
      if (!place("picture") || !field()) return;
      field().addEventListener("input", () => {
        clearTimeout(typing);
        typing = setTimeout(() => ask(true), TYPED_MS);
      });
    },
    // Draws the curve again when the setting has changed, here or elsewhere.
    follow(view) {
      if (!place("picture")) return;
      const { slower } = view.trigger;
      place("slower").textContent = slower > 1 ? `The trigger acts: B takes ${slower} times as long as this.` : "";
      const now = LEVERS.map((name) => view.levers[name].value).join(" ");
      if (now === drawn) return;
      const isFirst = drawn === null;
      drawn = now;
      if (!isFirst) ask(false);
    },
  };
})();
