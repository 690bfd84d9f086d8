//! The integration tests: one binary, so that the library is linked once. Each test has a server of its own, a directory
//! of its own and, where it runs in this process, a clock of its own that it moves by hand.
//!
//! What the stories are told with:
//! - [`app`]: a server in this process, on real sockets, whose clock stands still until a test moves it
//! - [`binary`]: the real executable as a child process
//! - [`link`]: the way to a server, which goes silent
//! - [`own_database`]: a database for one test, in a file or in a server
//! - [`actors`]: who takes part: a client with a key, a stranger without one, and the inbox
//! - [`people`]: people at their browsers, and their apps
//! - [`upstream`]: a provider's API on loopback
//! - [`stand_in`]: providers, as `countersign dev-provider` plays them
//! - [`twilio`]: somebody who calls as Twilio's SDKs do
//! - [`door`]: each way to a code, as those use it whose way it is
//! - [`tab`]: a browser's tab that sends the forms that it reads
//! - [`wire`] and [`raw`]: HTTP as it should be spoken, and bytes as an attacker sends them
//! - [`sample`]: a provider, or a message, without a server around it
//!
//! What is told, in the order of a code's life:
//! - [`lifecycle`], [`resend`], [`listing`]: start, check, cancel, send again, read back
//! - [`binding`]: a code is worth nothing anywhere else (OTP-05)
//! - [`races`]: many at once (A01, A02, ATT-04, OTP-04)
//! - [`neighbours`]: two verifications to one destination leave each other alone
//! - [`destination_limits`], [`address_limits`], [`failures`]: who may send, how often, and what wrong codes lead to
//! - [`idempotency`]: the same request twice (OPS-05)
//! - [`input`], [`every_text`], [`paths`], [`auth`]: what is refused at the door
//! - [`secrets`]: no code anywhere that is not the inbox (OTP-07, OTP-09, LOG-02)
//! - [`texts`], [`not_me`]: what people read, and their way out (OTP-10, OTP-11, OTP-12)
//! - [`notices`]: what people are told of their accounts (NOT-01)
//! - [`smtp`], [`webhook`]: two of those who deliver
//! - [`tutorial_express`], [`tutorial_gateway`]: the routes of published tutorials
//! - [`providers_sms`]: Vonage, Telnyx, Plivo and Bird, against servers that speak their formats
//! - [`delivery`], [`handover`], [`receipts`]: providers that fail, what follows, and what they report (R01 to R07, OPS-04)
//! - [`dev_provider`]: the stand-in for providers, as its users meet it
//! - [`slow`], [`protocol`], [`tls`], [`headers`], [`stop`]: the server's sockets
//! - [`configuration`], [`cli`]: what an operator types
//! - [`keys`]: the keys that sign access tokens, in one process and in several (TOK-07)
//! - [`examples`]: services that verify our tokens (`./test examples`)
//! - [`environment`]: the variables of systems that this one replaces
//! - [`import`]: people who come from another system
//! - [`upgrade`]: databases of earlier versions
//! - [`backup`]: copies of the databases, and what is left of them when they are put back
//! - [`moving`]: from one kind of store to another
//! - [`inbox`]: what the dev inbox shows
//! - [`replicas`]: two servers on one database; [`silence`]: a database that is gone without a word
//! - [`store_tls`]: databases and Redis that are spoken to in private
//! - [`deploy`]: the files that people start from
//! - [`kill`]: a server that dies in the middle of its work
//! - [`twilio_verify`], [`startmessaging`]: providers that make the codes; [`messengers`]: WhatsApp and Telegram
//! - [`twilio_services`], [`twilio_verifications`]: Twilio Verify's API (`./test twilio` lets the official SDKs walk through it)
//! - [`twilio_factors`], [`twilio_webhooks`], [`twilio_beside`], [`twilio_messages`]: authenticator apps by Twilio's face, and
//!   what stands beside them
//! - [`prism`]: what we send to Twilio, against Twilio's own definitions (`./test prism`)
//! - [`sign_in`], [`sign_in_walks`], [`other_walks`]: people and their sessions, at the services' own doors
//! - [`login_pages`]: the pages that people sign in with; [`login_pages_attacks`]: what is tried at them
//! - [`accounts_json`], [`accounts_sessions`], [`accounts_strangers`]: the same by the JSON API, and the Express and React
//!   tutorial
//! - [`access_tokens`]: whom tokens are for, and what they open
//! - [`accounts_corners`]: two credentials at once, one channel only
//! - [`operators`]: what operators do with people's accounts
//! - [`attacks_sign_in`], [`attacks_factors`], [`attacks_sessions`]: what is tried on the way in; `docs/reference/attacks.md` has
//!   the catalogue
//! - [`statements`]: what a request costs the database
//! - [`web_app`]: an app of the operator's own
//! - [`camara`]: a standard's API, and access tokens of clients; [`doors`]: all doors count in one place (ATT-06)
//! - [`snapshots`]: every JSON body, as it is
//! - [`architecture`]: who may use what, read from the sources

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests watch a real server from outside, in real time and with real randomness")]

mod actors;
mod app;
mod binary;
mod door;
mod link;
mod own_database;
mod people;
mod raw;
mod sample;
mod stand_in;
mod tab;
mod twilio;
mod upstream;
mod wire;

mod access_tokens;
mod accounts_corners;
mod accounts_json;
mod accounts_sessions;
mod accounts_strangers;
mod address_limits;
mod architecture;
mod attacks_factors;
mod attacks_sessions;
mod attacks_sign_in;
mod auth;
mod backup;
mod binding;
mod camara;
mod cli;
mod configuration;
mod delivery;
mod deploy;
mod destination_limits;
mod dev_provider;
mod doors;
mod environment;
mod every_text;
mod examples;
mod failures;
mod handover;
mod headers;
mod idempotency;
mod import;
mod inbox;
mod input;
mod keys;
mod kill;
mod lifecycle;
mod listing;
mod login_pages;
mod login_pages_attacks;
mod messengers;
mod moving;
mod neighbours;
mod not_me;
mod notices;
mod operators;
mod other_walks;
mod paths;
mod prism;
mod protocol;
mod providers_sms;
mod races;
mod receipts;
mod replicas;
mod resend;
mod secrets;
mod sign_in;
mod sign_in_walks;
mod silence;
mod slow;
mod smtp;
mod snapshots;
mod startmessaging;
mod statements;
mod stop;
mod store_tls;
mod texts;
mod tls;
mod tutorial_express;
mod tutorial_gateway;
mod twilio_beside;
mod twilio_factors;
mod twilio_messages;
mod twilio_services;
mod twilio_verifications;
mod twilio_verify;
mod twilio_webhooks;
mod upgrade;
mod web_app;
mod webhook;
