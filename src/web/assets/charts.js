// Strips: pictures made by the server, and one reading line over all of them. What is read comes from the points that
// the pictures were made from.
"use strict";

const charts = (() => {
  let shown = null;
  let back = null;
  let asking = false;
  // The picture that the pointer is on.
  let pointed = null;

  const plots = () => document.querySelectorAll(".plot:has(.strip-place)");
  const columnOf = (plot) => plot.closest("[data-path]").dataset.path;
  const points = (path) => shown?.columns.find((column) => column.path === path)?.points;
  const series = () => Object.values(shown?.columns[0]?.points ?? {});
  const length = () => series()[0]?.length ?? 0;
  // The first place that is shown.
  let from = 0;
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
    if (row.unit === "ms") return live.time(row.top);
    if (row.unit.startsWith("/")) return `${row.top.toLocaleString("en")}${row.unit}`;
    const noun = row.top === 1 ? row.unit.replace(/(\w)s$/, "$1") : row.unit;
    return `${row.top.toLocaleString("en")} ${noun}`;
  }

  // The line is moved by the pointer, by a slider, or by a number.
  const sliders = () => ["look-back", "look-back-s"].map((name) => document.getElementById(name));
  const chosen = () => document.getElementById("span");

  // The chosen span is a part of the address, which no server sees.
  function keepSpan() {
    const kept = new URLSearchParams(location.hash.slice(1));
    kept.set("span_s", chosen().value);
    history.replaceState(null, "", `#${kept}`);
    again();
  }

  function restoreSpan() {
    const kept = new URLSearchParams(location.hash.slice(1)).get("span_s");
    if ([...chosen().options].some(({ value }) => value === kept)) chosen().value = kept;
  }

  // The seconds to show: the choice, or as few as hold all that was seen.
  function span() {
    const choice = chosen();
    if (choice.value === "all") return length();
    if (choice.value !== "fit") return Number(choice.value) / shown.seconds_a_point;
    const seen = (values) => values.findIndex((value) => value !== null && value !== 0);
    const first = Math.min(...series().map(seen).filter((place) => place >= 0));
    const spans = [...choice.options].map(({ value }) => Number(value) / shown.seconds_a_point).filter((places) => places > 0);
    return spans.find((places) => places >= length() - first) ?? length();
  }

  // How far from the left edge a place is, in percent.
  const left = (place) => `${(100 * (place - from)) / Math.max(1, length() - 1 - from)}%`;

  // Shows a picture from the first shown place on.
  function crop(strip) {
    const { y, width, height } = strip.viewBox.baseVal;
    const x = (width * from) / Math.max(1, length() - 1);
    strip.setAttribute("viewBox", `${x} ${y} ${width - x} ${height}`);
  }

  // The place of a second.
  const placeOf = (second) => second - (shown.second - length());

  // The change that is read at a place: the nearest one, if a pointer cannot tell it from that place.
  function markAt(place) {
    const reach = Math.max(1, Math.round((length() - from) / 60));
    const away = (mark) => Math.abs(placeOf(mark.second) - place);
    const near = shown.marks.filter((mark) => placeOf(mark.second) >= from && away(mark) <= reach);
    return near.sort((one, other) => away(one) - away(other))[0];
  }

  // When that was: after the start of a run, or before the last second that is shown.
  const isRun = () => "ended" in shown;
  function when(second) {
    if (isRun()) return `${second} s`;
    const ago = shown.second - 1 - second;
    return ago === 0 ? "newest" : `${ago} s before`;
  }

  // All changes on the charts as text.
  function list() {
    const place = document.getElementById("changes");
    const seen = shown.marks.filter((mark) => placeOf(mark.second) >= from);
    const said = seen.map((mark) => `${when(mark.second)}: ${mark.text}`);
    place.hidden = seen.length === 0;
    place.querySelector("summary").textContent = `${seen.length} ${seen.length === 1 ? "change" : "changes"}`;
    place.querySelector("ul").replaceChildren(...said.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
  }

  // The change at the reading line: on the picture that the pointer is on, and beside the slider.
  function sayMark(place) {
    const mark = back === null ? undefined : markAt(place);
    const told = back === null ? "newest" : `${back} s before the newest`;
    const [slider, number] = sliders();
    slider.value = back ?? 0;
    slider.setAttribute("aria-valuetext", mark ? `${told}: ${mark.text}` : told);
    if (number !== document.activeElement) number.value = back ?? 0;
    document.getElementById("look-back-text").textContent = mark && !pointed ? mark.text : "";
    for (const one of document.querySelectorAll(".mark-text")) one.remove();
    if (!mark || !pointed) return;
    const text = document.createElement("span");
    text.className = "mark-text";
    text.textContent = mark.text;
    text.classList.toggle("from-right", placeOf(mark.second) - from > (length() - from) / 2);
    pointed.append(text);
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
    from = Math.max(0, length() - span());
    const first = charts.second - length() + from;
    const ends = { first, last: charts.second - 1 };
    for (const end of document.querySelectorAll("[data-axis]")) {
      end.textContent = newest() < 0 ? "" : when(ends[end.dataset.axis]);
    }
    for (const plot of plots()) {
      const row = charts.rows.find(({ name }) => name === plot.dataset.row);
      const column = charts.columns.find(({ path }) => path === columnOf(plot));
      if (!row || !column) continue;
      const place = plot.querySelector(".strip-place");
      place.innerHTML = column.strips[row.name];
      crop(place.querySelector("svg"));
      plot.querySelector(".ceiling").textContent = newest() < 0 ? "" : unit(row);
      for (const mark of charts.marks) {
        if (mark.second < first) continue;
        const line = document.createElement("i");
        line.className = "moved";
        line.style.left = left(placeOf(mark.second));
        place.append(line);
      }
      const reading = document.createElement("i");
      reading.className = "reading";
      reading.hidden = true;
      place.append(reading);
    }
    list();
    // Whoever draws over the strips does so now.
    document.dispatchEvent(new CustomEvent("charts", { detail: charts }));
    read();
  }

  // Shows the values at the reading line, the newest ones where there is none.
  function read() {
    const last = newest();
    if (last < 0) return;
    const place = back === null ? last : Math.max(from, last - back);
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
      line.style.left = left(place);
    }
    sayMark(place);
    document.dispatchEvent(new CustomEvent("read", { detail: place }));
  }

  // Draws what is known once more.
  function again() {
    if (shown) show(shown);
  }

  function start() {
    restoreSpan();
    chosen().addEventListener("change", keepSpan);
    for (const field of sliders()) {
      field.addEventListener("input", () => {
        back = Math.max(0, Math.min(Number(field.max), Number(field.value))) || null;
        read();
      });
    }
    for (const plot of plots()) {
      const place = plot.querySelector(".strip-place");
      place.addEventListener("pointermove", (event) => {
        const box = place.getBoundingClientRect();
        const share = (event.clientX - box.left) / Math.max(1, box.width);
        const at = from + Math.round(share * (length() - 1 - from));
        back = Math.max(0, newest() - at);
        pointed = place;
        read();
      });
      place.addEventListener("pointerleave", () => {
        back = null;
        pointed = null;
        read();
      });
    }
    refresh();
  }

  // `shown` is for tests: what is drawn.
  return { start, refresh, unit, again, shown: () => shown };
})();
