//! The reliable queue: one contract, both brokers, real stores.

mod alike;
mod audits;
mod balance;
mod claims;
mod cluster;
mod crashes;
mod damage;
mod ends;
mod enqueues;
mod handlers;
mod heartbeats;
mod load;
mod processes;
mod raw;
mod replicas;
mod served;
mod standstill;
mod store;
mod types;
mod workers;
