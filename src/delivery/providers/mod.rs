//! One file for each provider: how its service is spoken to, and what its answers prove. `twilio` is the one to look at first.

pub mod bird;
pub mod console;
pub mod plivo;
pub mod smtp;
pub mod startmessaging;
pub mod telegram;
pub mod telnyx;
pub mod twilio;
pub mod twilio_verify;
pub mod vonage;
pub mod webhook;
pub mod whatsapp;
