#![cfg(test)]
//! A person with a session, for tests of tokens.

use uuid::Uuid;

use crate::account::model::{Account, Assurance, Session};
use crate::clock::Timestamp;

/// 2026-01-01T00:00:00Z, and half a second.
pub const NOW: Timestamp = Timestamp(1_767_225_600_500);

/// Ada, who is staff.
pub fn account() -> Account {
    Account {
        id: Uuid::from_bytes([1; 16]),
        full_name: "Ada".into(),
        locale: "en".into(),
        roles: vec!["staff".into()],
        is_active: true,
        password: Some("$argon2id$hash".into()),
        password_reset_by: None,
        password_changed_at: Timestamp(0),
        created_at: Timestamp(0),
    }
}

/// Where she is signed in.
pub fn session(assurance: Assurance, methods: &[&str]) -> Session {
    Session {
        id: Uuid::from_bytes([2; 16]),
        account: account().id,
        assurance,
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        created_at: Timestamp(0),
        authenticated_at: Timestamp(1_767_225_000_000),
        seen_at: NOW,
        expires_at: Timestamp(i64::MAX),
        idle: 0,
        address: "192.0.2.1".into(),
        agent: "test".into(),
    }
}
