//! What hears of events once they are durable. The rows of the audit log are written by the store, in the transaction of
//! the transition that they tell of; this is the seam for everybody else: logs today, webhooks tomorrow.

use crate::verification::model::Event;
use crate::verification::store::EventSink;

/// Writes each event as one structured log line (target `audit`, level debug).
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditLog;

impl EventSink for AuditLog {
    fn committed(&self, events: &[Event]) {
        for event in events {
            tracing::debug!(
                target: "audit",
                about = %event.about,
                revision = event.revision,
                at = %event.at,
                client = event.origin.client.map(tracing::field::display),
                detail = event.detail.as_deref(),
                "{}",
                event.kind.as_str()
            );
        }
    }
}
