// Keeps the figures of the streams page current.
"use strict";

let last = null;

function percentile(of, name) {
  const ms = of[`${name}_ms`];
  return ms === null ? of[`${name}_why`].replace("_", " ") : `${ms.toFixed(1)} ms`;
}

live.watch((status) => {
  const { set } = live;
  set("streams", status.streams_count);
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
  if (run.good_rate !== null) set("good", `${(Math.floor(run.good_rate * 1e4) / 1e2).toFixed(2)} %`);
  set("queued", `${run.queued} of ${status.buffer_size}`);
  set("busy", `${run.in_progress} of ${status.workers_count}`);
  set("p50", percentile(run.latency.offered, "p50"));
  set("p95", percentile(run.latency.offered, "p95"));
  set("p99", percentile(run.latency.offered, "p99"));
  set("dropped", run.dropped);
  set("processed", run.processed);
  set("generated", run.generated);
});
