//! Calls that are recorded. A broken connection is an answer that never came; one that could not be made is no call at all.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use crate::chaos::cluster::Cluster;
use crate::chaos::history::{Call, Outcome, Record, Status};
use crate::soak::client::{Answer, Client};

/// Somebody with a connection to each replica.
pub struct Caller<'a> {
    cluster: &'a Cluster,
    connections: Vec<Option<Client>>,
}

impl<'a> Caller<'a> {
    /// Somebody who has asked nothing yet.
    pub fn new(cluster: &'a Cluster) -> Caller<'a> {
        Caller { cluster, connections: cluster.ports.iter().map(|_| None).collect() }
    }

    /// A start.
    pub fn start(&mut self, replica: usize, to: &str, key: Option<&str>) -> Option<Outcome> {
        let header = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
        let call = Call::Start { to: to.to_owned(), key: key.map(str::to_owned) };
        self.call(replica, call, "POST", "/v1/verifications", &header, &format!(r#"{{"to":"{to}"}}"#))
    }

    /// The same at whichever replica answers: again with the same key, which makes that safe. None: nobody did.
    pub fn start_somewhere(&mut self, first: usize, to: &str, key: &str) -> Option<String> {
        for step in 0..12 {
            match self.start((first + step) % self.connections.len(), to, Some(key)) {
                Some(Outcome::Started { id }) => return Some(id),
                Some(Outcome::Refused(429) | Outcome::NotFound) => return None,
                _ => std::thread::sleep(std::time::Duration::from_millis(50 * step as u64)),
            }
        }
        None
    }

    /// A check.
    pub fn check(&mut self, replica: usize, id: &str, code: &str) -> Option<Outcome> {
        let call = Call::Check { id: id.to_owned(), code: code.to_owned() };
        self.call(replica, call, "POST", &format!("/v1/verifications/{id}/check"), "", &format!(r#"{{"code":"{code}"}}"#))
    }

    /// A cancel.
    pub fn cancel(&mut self, replica: usize, id: &str) -> Option<Outcome> {
        self.call(replica, Call::Cancel { id: id.to_owned() }, "POST", &format!("/v1/verifications/{id}/cancel"), "", "")
    }

    /// How it stands.
    pub fn get(&mut self, replica: usize, id: &str) -> Option<Outcome> {
        self.call(replica, Call::Get { id: id.to_owned() }, "GET", &format!("/v1/verifications/{id}"), "", "")
    }

    /// The ids of everything that was acknowledged to anybody.
    pub fn started(&self) -> BTreeSet<String> {
        self.cluster.started()
    }

    /// Whether its message still waits.
    pub fn is_unsettled(&mut self, id: &str) -> bool {
        match self.anywhere(id) {
            Some(Outcome::Seen { status, delivery, .. }) => delivery == "queued" && status == Status::Pending,
            Some(Outcome::NotFound) => false,
            _ => true,
        }
    }

    /// How it ended.
    pub fn get_settled(&mut self, id: &str) {
        self.anywhere(id);
    }

    fn anywhere(&mut self, id: &str) -> Option<Outcome> {
        let mut answered = None;
        for replica in 0..self.connections.len() {
            answered = self.get(replica, id);
            if matches!(answered, Some(Outcome::Seen { .. } | Outcome::NotFound)) {
                break;
            }
        }
        answered
    }

    /// None: nobody listens there, and nothing was asked.
    fn call(&mut self, replica: usize, call: Call, method: &str, path: &str, header: &str, body: &str) -> Option<Outcome> {
        let mut fresh = false;
        if self.connections[replica].is_none() {
            fresh = true;
            self.connections[replica] = Client::connect(self.cluster.ports[replica], &self.cluster.key).ok();
        }
        let connection = self.connections[replica].as_mut()?;
        let began = self.cluster.now();
        let answer = connection.call(method, path, header, body);
        let outcome = match answer {
            Ok(answer) => read(&call, &answer),
            Err(error) => {
                self.connections[replica] = None;
                // One that was kept too long, and was closed while it idled, may be asked again by the careful only: so this
                // is unknown as well.
                Outcome::Unknown(format!(
                    "{:?}{}",
                    error.kind(),
                    if fresh || error.kind() != ErrorKind::UnexpectedEof { "" } else { ", kept" }
                ))
            }
        };
        self.cluster.note(Record { replica, began, ended: self.cluster.now(), call, outcome: outcome.clone() });
        Some(outcome)
    }
}

fn read(call: &Call, answer: &Answer) -> Outcome {
    let unknown = || Outcome::Unknown(format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)));
    let status = || answer.text("status").and_then(Status::parse);
    let left = || answer.attempts_left().and_then(|left| u32::try_from(left).ok());
    match (answer.status, call) {
        (201 | 200, Call::Start { .. }) => answer.text("id").map_or_else(unknown, |id| Outcome::Started { id: id.to_owned() }),
        (200, Call::Check { .. }) => match (status(), left()) {
            (Some(status), Some(left)) => Outcome::Checked { valid: answer.is_valid(), status, left },
            _ => unknown(),
        },
        (200, Call::Get { .. } | Call::Cancel { .. }) => match (status(), left(), answer.text("delivery")) {
            (Some(status), Some(left), Some(delivery)) => Outcome::Seen { status, left, delivery: delivery.to_owned() },
            _ => unknown(),
        },
        (404, _) => Outcome::NotFound,
        (400..=499, _) => Outcome::Refused(answer.status),
        _ => unknown(),
    }
}
