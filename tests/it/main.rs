//! Tests at the public edge: a file a system, one `support` module.

mod browser;
mod client;
mod command_line;
mod documents;
mod goldens;
mod grammar;
mod house;
mod http_lab;
mod load;
mod load_http2;
mod load_sockets;
mod load_virtual;
mod output;
mod page;
mod pipeline;
mod process;
mod proxy;
mod results;
mod services;
mod stack;
mod streams;
mod support;
mod system;
mod telemetry;
mod theory;
