//! The login pages as rendering and nothing else: a view has what its page shows, and no view decides, looks anything up or
//! keeps anything. Every page works without a script; `static/login.js` adds comfort.
//!
//! [`texts`] has the words, [`brand`] the operator's name and colours, [`frame`] what all views share; the views are
//! [`entry`] (register, sign in and out), [`code`] (every page that asks for a proof), [`reset`] and [`security`]. [`handlers`]
//! are their routes, and the only part that is more than rendering.

pub mod brand;
pub mod code;
pub mod entry;
pub mod frame;
pub mod handlers;
pub mod reset;
#[cfg(test)]
mod samples;
pub mod security;
pub mod texts;
