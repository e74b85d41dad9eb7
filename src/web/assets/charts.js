// Strips: pictures made by the server, and one reading line over all of them. What is read comes from the points that
// the pictures were made from.
"use strict";

const charts = (() => {
  let shown = null;
  let back = null;
  let asking = false;

  const plots = () => document.querySelectorAll(".plot:has(.strip-place)");
  const columnOf = (plot) => plot.closest("[data-path]").dataset.path;
  const points = (path) => shown?.columns.find((column) => column.path === path)?.points;
  const series = () => Object.values(shown?.columns[0]?.points ?? {});
  const length = () => series()[0]?.length ?? 0;
  // A run that is young, or has ended, does not reach the right edge.
  const newest = () => Math.max(-1, ...series().map((values) => values.findLastIndex((value) => value !== null)));

  const READS = { count: live.count, per_second: (rate) => `${live.rate(rate)}/s`, mean: live.rate, time: live.time };

  // What a row's lines say at a place: a level that is not drawn there says nothing.
  function readRow(row, at, place) {
    const said = row.lines.map(({ name, label, role, reads }) => [role, label, at[name]?.[place] ?? null, READS[reads]]);
    return said
      .filter(([role, , value]) => role !== "level" || value !== null)
      .map(([role, label, value, show]) => [role, `${label} ${value === null ? "–" : show(value)}`]);
  }

  function unit(row) {
    return row.unit === "ms" ? live.time(row.top) : `${row.top.toLocaleString("en")} ${row.unit}`;
  }

  const source = () => document.querySelector("[data-charts]").dataset.charts;

  async function refresh() {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(source());
      if (answer.ok) show(await answer.json());
    } catch {
      // The page says that it is not connected.
    } finally {
      asking = false;
    }
  }

  function show(charts) {
    shown = charts;
    const first = charts.second - length();
    const ends = { first, last: charts.second - 1 };
    for (const end of document.querySelectorAll("[data-axis]")) end.textContent = `${ends[end.dataset.axis]} s`;
    for (const plot of plots()) {
      const row = charts.rows.find(({ name }) => name === plot.dataset.row);
      const column = charts.columns.find(({ path }) => path === columnOf(plot));
      if (!row || !column) continue;
      const place = plot.querySelector(".strip-place");
      place.innerHTML = column.strips[row.name];
      plot.querySelector(".ceiling").textContent = newest() < 0 ? "" : unit(row);
      for (const mark of charts.marks ?? []) {
        const line = document.createElement("i");
        line.className = "moved";
        line.title = mark.text;
        line.style.left = `${(100 * (mark.second - first)) / Math.max(1, length() - 1)}%`;
        place.append(line);
      }
      const reading = document.createElement("i");
      reading.className = "reading";
      reading.hidden = true;
      place.append(reading);
    }
    // Whoever draws over the strips does so now.
    document.dispatchEvent(new CustomEvent("charts", { detail: charts }));
    read();
  }

  // Shows the values at the reading line, the newest ones where there is none.
  function read() {
    const last = newest();
    if (last < 0) return;
    const place = back === null ? last : Math.max(0, last - back);
    for (const plot of plots()) {
      const at = points(columnOf(plot));
      const row = shown.rows.find(({ name }) => name === plot.dataset.row);
      if (!at || !row) continue;
      plot.querySelector(".readout").replaceChildren(...readRow(row, at, place).map(([role, text]) => {
        const part = document.createElement("span");
        part.className = `key ${role}`;
        part.textContent = text;
        return part;
      }));
      const line = plot.querySelector(".reading");
      if (!line) continue;
      line.hidden = back === null;
      line.style.left = `${(100 * place) / Math.max(1, length() - 1)}%`;
    }
    const told = document.getElementById("look-back-text");
    if (told) told.textContent = back === null ? "newest" : `${back} s before`;
    document.dispatchEvent(new CustomEvent("read", { detail: place }));
  }

  function start() {
    const slider = document.getElementById("look-back");
    slider?.addEventListener("input", () => {
      back = Number(slider.value) === 0 ? null : Number(slider.value);
      read();
    });
    for (const plot of plots()) {
      const place = plot.querySelector(".strip-place");
      place.addEventListener("pointermove", (event) => {
        const { left, width } = place.getBoundingClientRect();
        const pointed = Math.round(((event.clientX - left) / Math.max(1, width)) * (length() - 1));
        back = Math.max(0, newest() - pointed);
        read();
      });
      place.addEventListener("pointerleave", () => {
        back = null;
        read();
      });
    }
    refresh();
  }

  return {
    start, refresh, unit,
    // Draws what is known once more.
    again() {
      if (shown) show(shown);
    },
  };
})();
