// The levers: each shows the setting in force, whoever changed it, and sets it.
"use strict";

const levers = (() => {
  const all = () => document.querySelectorAll(".lever");
  const fields = () => document.querySelectorAll(".lever [name]");
  const apply = () => document.getElementById("apply");
  // The settings in force, by name.
  let inForce = {};

  function lever(form) {
    const field = form.querySelector("[name]");
    const slider = form.querySelector("[type=range]");
    const button = form.querySelector("button");
    const changed = () => { if (button) button.disabled = field.value === field.dataset.applied; };
    field.dataset.applied = field.value;
    slider?.addEventListener("input", () => { field.value = slider.value; changed(); });
    slider?.addEventListener("change", () => form.requestSubmit());
    field.addEventListener("input", () => { if (slider) slider.value = field.value; changed(); });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { value } = field;
      if (!(await forms.send(form, "PATCH", "/settings", forms.body(form)))) return;
      field.dataset.applied = value;
      changed();
      address.remember();
    });
  }

  // A field is not disturbed while it is edited here.
  function follow(view) {
    inForce = view.levers;
    for (const field of fields()) {
      const set = inForce[field.name]?.value;
      if (set === undefined || set === field.dataset.applied) continue;
      const isEdited = field.value !== field.dataset.applied;
      field.dataset.applied = set;
      if (!isEdited) field.value = set;
      field.dispatchEvent(new Event("input"));
    }
    for (const place of document.querySelectorAll("[data-setting]")) {
      const { text } = inForce[place.dataset.setting];
      if (place.textContent !== text) place.textContent = text;
    }
  }

  // Sets all that was edited, or is in the address.
  function applyAll() {
    for (const form of all()) {
      const button = form.querySelector("button");
      if (button && !button.disabled) form.requestSubmit();
    }
    apply().hidden = true;
  }

  // The levers at the foot of the window, so that the columns are seen while one is moved.
  function dock(on) {
    const button = document.getElementById("dock");
    document.body.classList.toggle("docked", on);
    button.setAttribute("aria-expanded", on);
    document.getElementById("undock").hidden = !on;
    (on ? document.getElementById("levers") : button).focus({ preventScroll: true });
    if (on) document.getElementById("columns").scrollIntoView({ block: "start" });
  }

  async function pullTrigger(event) {
    event.preventDefault();
    await forms.send(event.target, "POST", "/trigger", forms.body(event.target));
  }

  return {
    follow,
    inForce: () => inForce,
    start() {
      all().forEach(lever);
      document.getElementById("trigger")?.addEventListener("submit", pullTrigger);
      apply()?.addEventListener("click", applyAll);
      document.getElementById("dock")?.addEventListener("click", () => dock(!document.body.classList.contains("docked")));
      document.getElementById("undock")?.addEventListener("click", () => dock(false));
    },
    // Offers to set what the address says, where it differs.
    offer() {
      if (apply()) apply().hidden = !document.querySelector(".lever button:not(:disabled)");
    },
  };
})();
