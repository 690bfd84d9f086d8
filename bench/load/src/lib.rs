//! What the benchmark's three programs share. In reading order:
//!
//! - [`number`]: phone numbers that never repeat within a run
//! - [`response`]: just enough HTTP/1.1 to read an answer
//! - [`wire`]: how each target is asked to start and to check, and how its answers read
//! - [`scenario`]: what a connection does next, and whether the answer was the expected one
//! - [`driver`]: 64 keep-alive connections in one thread, in a closed loop
//! - [`report`]: latencies, errors and CPU time, as JSON
//! - [`soak`]: what the crash test remembers, sends and verifies
//! - [`chaos`]: several servers on one store, faults, and what no history of calls may show
//!
//! Nothing here is used by the server.

pub mod chaos;
pub mod driver;
pub mod number;
pub mod report;
pub mod response;
pub mod scenario;
pub mod soak;
pub mod wire;
