// Requests as dots. Each step is drawn a second after it happened, and nothing is drawn that did not happen: a dot
// stays where its last step put it.
"use strict";

const flow = (() => {
  const LATE_MS = 1000;
  const LEAVES_MS = 900;
  const SIZE = { width: 300, height: 150 };
  const ZONES = {
    arriving: { x: 4, y: 20, width: 40, height: 124, label: "arriving" },
    waiting: { x: 52, y: 20, width: 62, height: 124, label: "waiting" },
    a: { x: 122, y: 20, width: 124, height: 28, label: "A" },
    b: { x: 122, y: 68, width: 124, height: 76, label: "B" },
    leaving: { x: 254, y: 20, width: 42, height: 124, label: "left" },
  };
  const LEFT = ["ok", "service_error", "shed", "deadline", "cancelled", "invalid"];

  const columns = new Map();
  const dots = new Map();
  const waiting = [];
  let seq = null;
  let catching = false;
  let clock = null;
  let paused = false;
  let colours = {};

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["soft", "line", "good", "bad", "warn", "accent"]) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  }

  function column(element) {
    const canvas = element.querySelector("canvas");
    const cells = {};
    for (const cell of element.querySelectorAll("[data-flow]")) cells[cell.dataset.flow] = cell;
    columns.set(element.dataset.path, { canvas, context: canvas.getContext("2d"), cells, sprites: new Map(), leaving: [], left: 0 });
  }

  const now = () => performance.now() - clock - LATE_MS;

  // Dots leave at different heights, so that dots that leave at the same time do not cover each other.
  function leave(path, left) {
    const one = columns.get(path);
    if (!one) return;
    one.left += 1;
    one.leaving.push({ ...left, height: 8 + ((one.left * 37) % 112) });
  }

  function apply(dot, at, step) {
    dot.steps = (dot.steps ?? 0) + 1;
    switch (step) {
      case "waits": dot.waits = true; break;
      case "a_begins": dot.a = at; break;
      case "a_ends": dot.a = null; break;
      case "b_begins": dot.waits = false; dot.b = at; break;
      case "b_ends": dot.b = null; break;
      default:
        dot.left = step;
        dot.waits = false;
        leave(dot.endpoint, { at, step, extra: false });
    }
    if (dot.left && dot.a == null && dot.b == null) dots.delete(dot.id);
  }

  function arrive({ dot: id, endpoint, at_ms: at }) {
    dots.set(id, { id, endpoint, at, waits: false, a: null, b: null, left: null });
  }

  function take(tick) {
    for (const arrived of tick.arrived) waiting.push({ at: arrived.at_ms, run: () => arrive(arrived) });
    for (const [id, at, step] of tick.steps) {
      waiting.push({ at, run: () => { const dot = dots.get(id); if (dot) apply(dot, at, step); } });
    }
    for (const extra of tick.extras) {
      waiting.push({
        at: extra.at_ms,
        run: () => leave(extra.endpoint, { at: extra.at_ms, step: extra.left, extra: true }),
      });
    }
    // An arrival comes before its steps, even at the same time.
    waiting.sort((one, other) => one.at - other.at);
  }

  async function catchUp() {
    catching = true;
    try {
      const answer = await fetch("/view/flow");
      if (!answer.ok) return;
      const snapshot = await answer.json();
      waiting.length = 0;
      dots.clear();
      for (const shown of snapshot.dots) {
        arrive(shown);
        const dot = dots.get(shown.dot);
        for (const [at, step] of shown.steps) {
          if (LEFT.includes(step)) dot.left = step;
          else apply(dot, at, step);
        }
      }
      seq = snapshot.seq;
    } catch {
      // The next tick tries again.
    } finally {
      catching = false;
    }
  }

  function tick(data) {
    const told = JSON.parse(data);
    const offset = performance.now() - told.at_ms;
    // The shortest delay sets the offset between the clocks; their drift is followed slowly.
    clock = clock === null || offset < clock || Math.abs(offset - clock) > 5000 ? offset : clock + (offset - clock) * 0.01;
    for (const [path, oneOf] of Object.entries(told.one_of)) {
      const shown = document.querySelector(`[data-path="${path}"] [data-figure="shown"]`);
      const text = oneOf > 1 ? `1 of ${oneOf.toLocaleString("en")} shown; outlined: others that ended badly` : "";
      if (shown && shown.textContent !== text) shown.textContent = text;
    }
    // Steps are not kept while paused: drawing goes on from a new snapshot.
    if (catching || paused) return;
    if (seq === null || told.seq > seq + 1 || told.seq < seq) {
      catchUp();
      return;
    }
    if (told.seq === seq) return;
    seq = told.seq;
    take(told);
  }

  function place(zone, index, count) {
    const { x, y, width, height } = ZONES[zone];
    const cell = Math.max(3, Math.min(9, Math.sqrt((width * height) / Math.max(count, 1))));
    const across = Math.max(1, Math.floor(width / cell));
    const down = Math.max(1, Math.floor(height / cell));
    return {
      x: x + cell / 2 + (Math.floor(index / down) % across) * cell,
      y: y + height - cell / 2 - (index % down) * cell,
      size: Math.min(3.2, cell / 2.4),
    };
  }

  function shape(context, { x, y, size }, step, filled) {
    const look = {
      ok: ["good", "circle"], service_error: ["bad", "triangle"], shed: ["warn", "square"], deadline: ["bad", "cross"],
      cancelled: ["soft", "ring"], invalid: ["soft", "ring"], orphaned: ["soft", "circle"], moving: ["accent", "circle"],
    }[step];
    const [colour, form] = look;
    context.fillStyle = context.strokeStyle = colours[colour];
    context.lineWidth = 1.4;
    context.beginPath();
    if (form === "triangle") {
      context.moveTo(x, y - size * 1.3);
      context.lineTo(x + size * 1.2, y + size);
      context.lineTo(x - size * 1.2, y + size);
      context.closePath();
    } else if (form === "square") context.rect(x - size, y - size, size * 2, size * 2);
    else if (form === "cross") {
      context.moveTo(x - size, y - size);
      context.lineTo(x + size, y + size);
      context.moveTo(x + size, y - size);
      context.lineTo(x - size, y + size);
    } else context.arc(x, y, size, 0, 2 * Math.PI);
    if (filled && form !== "cross" && form !== "ring") context.fill();
    else context.stroke();
  }

  function zonesOf(path) {
    const zones = { arriving: [], waiting: [], a: [], b: [] };
    for (const dot of dots.values()) {
      if (dot.endpoint !== path) continue;
      const look = dot.left ? "orphaned" : "moving";
      if (dot.a != null) zones.a.push({ key: `${dot.id}a`, since: dot.a, look });
      if (dot.b != null) zones.b.push({ key: `${dot.id}b`, since: dot.b, look });
      if (dot.waits) zones.waiting.push({ key: `${dot.id}w`, since: dot.at, look });
      else if (!dot.steps) zones.arriving.push({ key: `${dot.id}w`, since: dot.at, look });
    }
    return zones;
  }

  function draw(path, { canvas, context, sprites, leaving, cells }) {
    // As many pixels as it is shown with.
    const larger = Math.min(canvas.clientWidth / SIZE.width, canvas.clientHeight / SIZE.height) || 1;
    const ratio = larger * (devicePixelRatio || 1);
    if (canvas.width !== Math.round(SIZE.width * ratio)) {
      canvas.width = Math.round(SIZE.width * ratio);
      canvas.height = Math.round(SIZE.height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, SIZE.width, SIZE.height);
    context.font = "11px system-ui, sans-serif";
    context.strokeStyle = colours.line;
    context.fillStyle = colours.soft;
    for (const [name, { x, y, width, height, label }] of Object.entries(ZONES)) {
      if (name === "a" || name === "b" || name === "waiting") context.strokeRect(x - 3.5, y - 3.5, width + 7, height + 7);
      context.fillText(label, x - 2, y - 7);
    }
    const zones = zonesOf(path);
    const seen = new Set();
    for (const [zone, members] of Object.entries(zones)) {
      members.sort((one, other) => one.since - other.since);
      members.forEach(({ key, look }, index) => {
        const target = place(zone, index, members.length);
        const sprite = sprites.get(key) ?? { x: zone === "arriving" ? -4 : target.x - 12, y: target.y };
        sprite.x += (target.x - sprite.x) * 0.25;
        sprite.y += (target.y - sprite.y) * 0.25;
        sprites.set(key, sprite);
        seen.add(key);
        shape(context, { ...sprite, size: target.size }, look, true);
      });
    }
    for (const key of sprites.keys()) if (!seen.has(key)) sprites.delete(key);
    const at = now();
    while (leaving.length && at - leaving[0].at > LEAVES_MS) leaving.shift();
    leaving.forEach((left) => {
      const age = Math.max(0, (at - left.at) / LEAVES_MS);
      const { x, y, width } = ZONES.leaving;
      context.globalAlpha = 1 - age * 0.7;
      shape(context, { x: x + age * width, y: y + left.height, size: 3.2 }, left.step, !left.extra);
      context.globalAlpha = 1;
    });
    const orphaned = (members) => members.filter(({ look }) => look === "orphaned").length;
    const counts = {
      waiting: zones.waiting.length, a: zones.a.length, b: zones.b.length - orphaned(zones.b), orphaned: orphaned(zones.b),
    };
    for (const [name, cell] of Object.entries(cells)) {
      if (cell.textContent !== String(counts[name])) cell.textContent = counts[name];
    }
  }

  function frame() {
    if (!paused && clock !== null && !document.hidden) {
      const at = now();
      let due = 0;
      while (due < waiting.length && waiting[due].at <= at) waiting[due++].run();
      waiting.splice(0, due);
      for (const [path, one] of columns) draw(path, one);
    }
    requestAnimationFrame(frame);
  }

  function start() {
    readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
    document.querySelectorAll(".column").forEach(column);
    requestAnimationFrame(frame);
  }

  return {
    start, tick,
    pause(yes) {
      paused = yes;
      // Steps that were missed meanwhile are not replayed.
      if (!yes) catchUp();
    },
    // For tests: how many dots are known.
    count: () => dots.size,
  };
})();
