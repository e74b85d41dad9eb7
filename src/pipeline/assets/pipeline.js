// Keeps the figures of the pipeline page current.
"use strict";

live.watch((status) => {
  const { set } = live;
  set("backlog", status.backlog);
  set("workers", `${status.workers} of ${status.min_workers} to ${status.max_workers}`);
  set("in_progress", status.in_progress);
  set("queued", `${status.queued} of ${status.queue_capacity}`);
  set("retrying", status.retrying);
  set("succeeded", status.succeeded);
  set("permanently_failed", status.permanently_failed);
  set("policy", status.policy);
  set("rate", status.rate);
}, "log");
