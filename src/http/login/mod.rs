//! The login pages.

pub mod pages;
