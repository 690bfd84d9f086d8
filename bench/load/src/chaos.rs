//! What the replica tests are made of: several real servers on one store, faults, and a record of every call that is held
//! against what may have happened.
//!
//! - [`history`]: what was asked, what was answered, what was sent, what was broken on purpose
//! - [`model`]: what no history may show, whatever broke
//! - [`sink`]: the provider that everything is sent to
//! - [`link`]: the way to a database, that can be cut and slowed
//! - [`replica`]: one server process; [`cluster`]: some of them on one store
//! - [`caller`]: calls that are recorded
//! - [`load`]: people who start and check; [`nemesis`]: what happens to their servers
//! - [`races`]: the single scenarios, each with what it must come to

pub mod caller;
pub mod cluster;
pub mod history;
pub mod link;
pub mod load;
pub mod model;
pub mod nemesis;
pub mod races;
pub mod replica;
pub mod sink;
