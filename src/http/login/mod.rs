//! People: what they sign in with. Pages and JSON are two faces of the same services ([`crate::account`]).
//!
//! [`browser`] is what a browser brings and takes away, [`origin`] where a request comes from, [`person`] who is signed in;
//! [`json`] is the JSON API, [`pages`] are the pages. None of them decides who may do what.

pub mod browser;
pub mod json;
pub mod origin;
pub mod pages;
pub mod person;
