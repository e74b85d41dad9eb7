// The page's forms: what their fields say as a request body, and a refusal beside the field that it names.
"use strict";

const forms = {
  // A number field may show its value in a larger unit (`data-scale`). A seed may have more digits than a number here.
  body(form) {
    const body = {};
    for (const field of form.elements) {
      if (!field.name) continue;
      if (field.type === "checkbox") (body[field.name] ??= []).push(...(field.checked ? [field.value] : []));
      else if (field.dataset.scale) body[field.name] = Number(field.value) * Number(field.dataset.scale);
      else body[field.name] = field.type === "number" && field.name !== "seed" ? Number(field.value) : field.value;
    }
    return body;
  },

  // Without an error it takes the last one back.
  complain(form, error) {
    const fields = [...form.elements].filter(({ name }) => name);
    const guilty = error && (fields.find(({ name }) => name === error.field) ?? (fields.length === 1 ? fields[0] : null));
    for (const field of fields) field.toggleAttribute("aria-invalid", field === guilty);
    const text = error ? error.message.replace(`${error.field}: `, "") : "";
    const label = guilty?.labels[0]?.firstChild.textContent.trim();
    form.querySelector(".error").textContent = label ? `${label}: ${text}` : text;
    if (guilty) guilty.closest("details")?.setAttribute("open", "");
  },

  // Sends what a form asks for; a refusal is shown in it. Returns whether it was taken.
  async send(form, method, path, body) {
    try {
      await live.ask(method, path, body);
      forms.complain(form, null);
      return true;
    } catch (error) {
      forms.complain(form, error);
      return false;
    }
  },
};
