// The strips of the last five minutes: pictures made by the server, and one reading line over all of them. What is read
// comes from the points that the pictures were made from.
"use strict";

const charts = (() => {
  let shown = null;
  let back = null;
  let asking = false;

  const plots = () => document.querySelectorAll(".plot");
  const columnOf = (plot) => plot.closest(".column").dataset.path;
  const points = (path) => shown?.columns.find((column) => column.path === path)?.points;
  const length = () => shown?.columns[0]?.points.offered.length ?? 0;

  const READ = {
    good: (at, n) => [["good", "good", text(at.good[n], live.rate)], ["offered", "of", text(at.offered[n], live.rate)]],
    latency: (at, n) => [["second", "p50", text(at.p50[n], live.time)], ["plain", "p95", text(at.p95[n], live.time)]],
    in_flight: (at, n) => [["plain", "in flight", text(at.in_flight[n], live.count)], ["second", "λW", text(at.lambda_w[n], live.rate)]],
    waiting: (at, n) => [["plain", "waiting", text(at.waiting[n], live.count)]],
  };

  function text(value, show) {
    return value === null || value === undefined ? "–" : show(value);
  }

  function unit(row) {
    return row.unit === "ms" ? live.time(row.top) : `${row.top.toLocaleString("en")} ${row.unit}`;
  }

  async function refresh() {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch("/view/charts");
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
    for (const plot of plots()) {
      const row = charts.rows.find(({ name }) => name === plot.dataset.row);
      const column = charts.columns.find(({ path }) => path === columnOf(plot));
      if (!row || !column) continue;
      const place = plot.querySelector(".strip-place");
      place.innerHTML = column.strips[row.name];
      plot.querySelector(".ceiling").textContent = unit(row);
      for (const mark of charts.marks) {
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
    read();
  }

  // Shows the values at the reading line, the newest ones where there is none.
  function read() {
    const last = length() - 1;
    if (last < 0) return;
    const place = back === null ? last : Math.max(0, last - back);
    for (const plot of plots()) {
      const at = points(columnOf(plot));
      if (!at) continue;
      plot.querySelector(".readout").replaceChildren(...READ[plot.dataset.row](at, place).map(([role, name, value]) => {
        const part = document.createElement("span");
        part.className = `key ${role}`;
        part.textContent = `${name} ${value}`;
        return part;
      }));
      const line = plot.querySelector(".reading");
      if (!line) continue;
      line.hidden = back === null;
      line.style.left = `${(100 * place) / Math.max(1, last)}%`;
    }
    const told = document.getElementById("look-back-text");
    if (told) told.textContent = back === null ? "newest" : `${back} s before`;
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
        back = Math.round((1 - (event.clientX - left) / Math.max(1, width)) * (length() - 1));
        read();
      });
      place.addEventListener("pointerleave", () => {
        back = null;
        read();
      });
    }
    refresh();
  }

  return { start, refresh };
})();
