// What is on the screen: in the address's fragment, which no server sees, and as the commands that reproduce it.
"use strict";

const address = (() => {
  const id = (name) => document.getElementById(name);
  const fields = () => document.querySelectorAll("form#load [name]");
  const boxes = () => document.querySelectorAll("[name=strategies]");

  function fragment() {
    const kept = new URLSearchParams({ window_s: page.windowSeconds(), span_s: id("span").value });
    if (page.isProjected()) kept.set("projector", "1");
    for (const { name, value } of fields()) kept.set(name, value);
    if (boxes().length > 0) kept.set("strategies", load.body().strategies.join());
    for (const { name, dataset } of document.querySelectorAll(".lever [name]")) kept.set(name, dataset.applied);
    return `#${kept}`;
  }

  function remember() {
    history.replaceState(null, "", fragment());
    again();
  }

  // Fills the fields from the address. No setting changes until Set is pressed.
  function restore() {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (name === "window_s") {
        const choice = document.querySelector(`[name=window_s][value="${CSS.escape(value)}"]`);
        if (choice) choice.checked = true;
      } else if (name === "strategies") {
        for (const box of boxes()) box.checked = value.split(",").includes(box.value);
      } else if (name === "projector") page.project(true);
      else {
        const field = document.querySelector(`form#load [name="${CSS.escape(name)}"], .lever [name="${CSS.escape(name)}"]`);
        if (!field || field.disabled) continue;
        field.value = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }
    levers.offer();
  }

  // The settings in force as a change of them; those of a real service cannot be changed.
  function settings() {
    const view = page.view();
    const isSet = ([name]) => !(view.real_a && name.startsWith("service_a_")) && !(view.real_b && name.startsWith("service_b_"));
    const plain = ([name, { value }]) => [name, /^\d+$/.test(value) ? Number(value) : value];
    return Object.fromEntries(Object.entries(view.levers).filter(isSet).map(plain));
  }

  // Writes the link and the commands.
  function again() {
    if (!page.view()) return;
    id("link").href = fragment();
    const place = id("again");
    const { host } = place.dataset;
    const body = load.body();
    const arrivals = body.arrivals === "poisson" ? ` --arrivals poisson --seed ${body.seed}` : "";
    const text = [
      `curl -s -X PATCH http://${host}/settings -H 'Content-Type: application/json' -d '${JSON.stringify(settings())}'`,
      `curl -s -X POST http://${host}/load/start -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`,
      ...body.strategies.map((path) => `lab load http://${host}${path} ${load.schedule(body)}${arrivals}`),
    ].join("\n");
    if (place.textContent !== text) place.textContent = text;
  }

  return { remember, restore, again };
})();
