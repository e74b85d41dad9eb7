//! Tests at the public edge: a file a system, one `support` module.

mod browser;
mod client;
mod command_line;
mod documents;
mod goldens;
mod grammar;
mod house;
mod http_lab;
mod kubernetes;
mod load;
mod load_http2;
mod load_sockets;
mod load_virtual;
mod output;
mod page;
mod page_charts;
mod pipeline;
mod process;
mod proxy;
mod queue;
#[allow(dead_code, reason = "the tests of faults use more of it")]
mod redis_cluster;
#[allow(dead_code, reason = "the tests of faults use more of it")]
mod redis_server;
mod refusals;
mod results;
mod services;
mod stack;
mod storage;
mod streams;
mod support;
mod system;
mod telemetry;
mod theory;
