//! One code, from start to its end: the domain.
//!
//! ```text
//!              ┌── resend: new code (or the same), same id, same count of checks
//!              ▼
//!  start ──► pending ── right code, once ──► approved
//!              ├─────── cancel ────────────► canceled
//!              ├─────── time is up ────────► expired      (follows from the clock)
//!              └─────── checks are used up ► exhausted    (follows from the count)
//! ```
//!
//! Nothing leads out of the four states on the right. Every rule about a code lives in [`engine`] or in what it uses;
//! faces translate and never decide. Responsible for: limits, lives, counts, comparing. Refuses to know: HTTP, SQL, vendors.

pub mod buckets;
pub mod courier;
pub mod destination;
pub mod engine;
pub mod lease;
pub mod limit;
pub mod model;
pub mod newest;
pub mod policies;
pub mod policy;
pub mod prepare;
pub mod report;
pub mod request;
pub mod service;
pub mod sharded;
pub mod store;
pub mod template;
pub mod underway;
pub mod vouch;
pub mod wording;

pub use destination::Destination;
pub use engine::Engine;
pub use model::{Channel, Status, Verification, VerificationId};
pub use store::{Snapshot, Store};
