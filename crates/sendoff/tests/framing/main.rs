//! Messages over streams: every row of the tables of `docs/framing.md`, cut everywhere; limits, batches, halves,
//! transports that keep boundaries.

#[path = "../common/mod.rs"]
mod common;

mod batches;
mod cancel;
mod captured;
mod cuts;
mod halves;
mod limits;
mod page;
mod script;
mod sent;
mod text;
mod transports;
