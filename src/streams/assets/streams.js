// Keeps the figures of the streams page current.
"use strict";

let last = null;

function percentile(value) {
  return typeof value === "number" ? `${value.toFixed(1)} ms` : value;
}

live.watch((status) => {
  const { set } = live;
  set("streams", status.streams);
  set("peers", status.peers);
  const run = status.run;
  if (!run) return;
  // Over the last tick; over the run for the first one.
  const before = last && last.elapsed_ms < run.elapsed_ms ? last : { elapsed_ms: 0, processed: 0 };
  const seconds = (run.elapsed_ms - before.elapsed_ms) / 1000;
  if (seconds > 0 && status.state !== "idle") {
    set("rate", ((run.processed - before.processed) / seconds).toFixed(1));
    live.figure("rate").closest(".card").querySelector(".label").textContent = "processed a second, now";
  }
  last = run;
  if (run.good_fraction !== null) set("good", `${(Math.floor(run.good_fraction * 1e4) / 1e2).toFixed(2)} %`);
  set("queued", `${run.queued} of ${status.buffer_size}`);
  set("busy", `${run.in_progress} of ${status.workers}`);
  set("p50", percentile(run.latency_ms.offered.p50_ms));
  set("p95", percentile(run.latency_ms.offered.p95_ms));
  set("p99", percentile(run.latency_ms.offered.p99_ms));
  set("dropped", run.dropped);
  set("processed", run.processed);
  set("generated", run.generated);
});
