//! Countersign: a self-hosted one-time-password server.
//!
//! The modules, in the order in which they are best read:
//!
//! - [`verification`]: the domain. One code, from start to its end; every rule lives here.
//! - [`account`]: people, what they prove, and the sessions and tokens that come of it.
//! - [`entity`]: people of integrators' own, and their authenticator apps.
//! - [`delivery`]: from a code to a message in somebody's hand.
//! - [`http`]: the faces. They translate words and status codes, and never decide.
//! - [`app`]: the only place that names concrete stores and providers: configuration in, application out.
//! - [`cli`]: one file a command.
//! - [`dev_provider`]: a stand-in for providers, for developers and for our tests. Nothing of the server uses it.
//! - [`config`], [`db`], [`audit`], [`telemetry`], [`secret`], [`hex`], [`id`], [`clock`]: what all of them stand on.

pub mod account;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod delivery;
pub mod dev_provider;
pub mod entity;
pub mod hex;
pub mod http;
pub mod id;
pub mod secret;
pub mod telemetry;
pub mod verification;
