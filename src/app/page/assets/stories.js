// The stories: a prediction first, then what was measured, at the top of the page beside the columns and in the story.
"use strict";

const stories = (() => {
  const id = (name) => document.getElementById(name);
  const all = () => document.querySelectorAll(".story");
  const of = (name) => document.querySelector(`.story[data-story="${name}"]`);
  const predictions = new Map();
  // The story that was seen to run here, until its panel is closed.
  let watched = null;

  const guess = (name) => predictions.get(name) ?? null;
  const put = (place, text) => { if (place.textContent !== text) place.textContent = text; };

  async function tell(event) {
    event.preventDefault();
    const form = event.target;
    const { story } = form.dataset;
    if (form.dataset.told === "yes") await forms.send(form, "POST", "/story/stop");
    else if (await forms.send(form, "POST", "/story/start", { story })) {
      watch(story);
      id("story-now").focus({ preventScroll: true });
      id("story-now").scrollIntoView({ block: "start" });
    }
  }

  function watch(name) {
    if (watched === name && !id("story-now").hidden) return;
    watched = name;
    // Who only looks on predicts too.
    predictions.set(name, new FormData(of(name)).get("prediction"));
    id("story-now").hidden = false;
    put(id("story-title"), of(name).querySelector("h3").textContent);
    put(id("story-question"), of(name).querySelector("legend").textContent);
    put(id("story-said"), "");
    put(of(name).querySelector(".outcome"), "");
    id("story-measured").hidden = true;
  }

  function verdict({ story, answer, text }) {
    const said = [guess(story) && `You predicted: ${guess(story)}.`, answer && `Measured: ${answer}.`, text];
    return said.filter(Boolean).join(" ");
  }

  function measured(lines) {
    const scenes = new Set(lines.map(({ scene }) => scene)).size;
    const time = (figures, name) => {
      const ms = figures[`${name}_ms`];
      return ms === null ? figures[`${name}_why`].replace("_", " ") : live.time(ms);
    };
    id("story-measured").hidden = lines.length === 0;
    id("story-measured").querySelector("tbody").replaceChildren(...lines.map((figures) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = scenes > 1 ? `${figures.path}, part ${figures.scene}` : figures.path;
      const good = figures.good_rate === null ? "–" : live.percent(figures.good_rate);
      const inFlight = figures.lambda_w === null ? "–" : live.rate(figures.lambda_w);
      const counts = [live.count(figures.shed), live.count(figures.deadline)];
      const cells = [live.count(figures.offered), good, time(figures, "p50"), time(figures, "p95"), ...counts, inFlight];
      row.append(head, ...cells.map((text) => {
        const cell = document.createElement("td");
        cell.className = "number";
        cell.textContent = text;
        return cell;
      }));
      return row;
    }));
  }

  function showOne(form, told) {
    const { story } = form.dataset;
    const isTold = told.story === story;
    form.dataset.told = isTold ? "yes" : "no";
    form.classList.toggle("told", isTold);
    const button = form.querySelector("button");
    if (button) {
      button.disabled = told.state !== "idle" && !isTold;
      put(button, isTold ? `Stop, about ${live.count(told.left_ms / 1000)} s left` : button.dataset.label);
      button.classList.toggle("quiet", isTold);
    }
    for (const field of form.querySelectorAll("[name=prediction]")) field.disabled = told.state !== "idle";
    if (told.last?.story === story) put(form.querySelector(".outcome"), verdict(told.last));
  }

  function showNow(told) {
    const isOver = told.state === "idle";
    if (id("story-stop")) id("story-stop").hidden = isOver;
    id("story-close").hidden = !isOver;
    if (!isOver) {
      const predicted = guess(watched) ? ` You predicted: ${guess(watched)}.` : "";
      put(id("story-said"), `The story runs: watch the columns.${predicted}`);
      put(id("story-left"), `about ${live.count(told.left_ms / 1000)} s left`);
      return;
    }
    put(id("story-left"), "");
    if (told.last?.story === watched) {
      put(id("story-said"), verdict(told.last));
      if (id("story-measured").hidden) measured(told.last.measured);
    } else put(id("story-said"), "The story was stopped before its end, so there is no result.");
  }

  return {
    show(data) {
      const told = JSON.parse(data);
      if (told.story) watch(told.story);
      for (const form of all()) showOne(form, told);
      // The load is the story's.
      document.body.classList.toggle("story-runs", told.state !== "idle");
      if (watched) showNow(told);
    },
    start() {
      for (const form of all()) form.addEventListener("submit", tell);
      id("story-stop")?.addEventListener("click", () => { if (watched) forms.send(of(watched), "POST", "/story/stop"); });
      id("story-close").addEventListener("click", () => {
        id("story-now").hidden = true;
        of(watched).querySelector("input").focus();
        watched = null;
      });
    },
  };
})();
