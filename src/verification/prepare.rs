//! From what a caller asks to what the store is told to do: fields checked, codes made, limits named. Nothing is changed here.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::id;
use crate::secret::{Code, Tag};
use crate::verification::courier::CodeMaker;
use crate::verification::destination::Destination;
use crate::verification::engine::{Engine, derive};
use crate::verification::limit::{LimitName, Rule, Take};
use crate::verification::model::{
    Channel, CodeBy, Delivery, Origin, Status, Verification, VerificationId, all_services_key, failures_key, sends_key,
};
use crate::verification::policy::{LIFE_MAX, Policy, worth_sending};
use crate::verification::request::{self, Caller, InvalidField, InvalidKind, StartRequest, Which};
use crate::verification::store::{IdempotencyClaim, Resend, Start, Target};

impl Engine {
    pub(super) fn prepare(
        &self,
        policy: &Policy,
        caller: &Caller,
        request: StartRequest,
        now: Timestamp,
    ) -> Result<(Start, Option<Code>), InvalidField> {
        let destination = self.destination(policy, &request.to)?;
        let is_test = self.test_destinations.get(destination.canonical());
        if is_test.is_none() && !policy.allows(destination.country()) {
            return Err(InvalidField::new("to", "is in a country that this service does not send to").kind(InvalidKind::NotServed));
        }
        let (channel, maker) = self.channel(&destination, request.channel)?;
        let purpose = request::purpose(request.purpose)?;
        let locale = request::locale(request.locale, &policy.locale)?;
        let subject = request::subject(request.subject)?;
        let metadata = request::metadata(request.metadata)?;
        let own_code = self.own_code(policy, request.code)?.or_else(|| is_test.cloned());
        if own_code.is_some() && is_test.is_none() && maker != CodeMaker::Us {
            return Err(InvalidField::new("code", "must not be given: the provider of this channel makes its own codes"));
        }

        let idempotency = self.claim(caller, "start", |digest| {
            let own_code = own_code.as_ref().map_or("", Code::expose);
            for field in [destination.canonical(), channel.as_str(), &purpose, &locale, subject.as_deref().unwrap_or(""), own_code] {
                digest(field.as_bytes());
            }
            for (name, value) in &metadata {
                digest(name.as_bytes());
                digest(value.as_bytes());
            }
            if let Some(wording) = &request.wording {
                digest(wording.as_bytes());
            }
        });
        let mut verification = Box::new(Verification {
            id: self.new_id(now),
            failures_key: failures_key(&caller.service, &destination, subject.as_deref()),
            service: caller.service.clone(),
            purpose,
            destination,
            channel,
            subject,
            locale,
            status: Status::Pending,
            revision: 0,
            generation: 0,
            sends: 1,
            attempts: 0,
            max_attempts: policy.max_checks,
            seed: self.random(),
            pepper_id: self.peppers.current.id(),
            tag: Tag([0; 32]),
            code_by: match (&own_code, maker) {
                (Some(_), _) => CodeBy::Caller,
                (None, CodeMaker::Us) => CodeBy::Server,
                (None, CodeMaker::Provider(_)) => CodeBy::Provider,
            },
            created_at: now,
            queued_at: now,
            expires_at: now + policy.life(channel),
            ended_at: None,
            delivery: Delivery::Queued,
            delivered_by: None,
            queued_by: None,
            metadata,
        });
        // A provider that makes the codes sends the one that is pending again, whoever asks: so do we.
        let rearm = own_code.is_none() && (policy.rearm || verification.code_by == CodeBy::Provider);
        let code = match verification.code_by {
            CodeBy::Provider => None,
            CodeBy::Server | CodeBy::Caller => {
                let code = own_code.unwrap_or_else(|| derive(&self.peppers.current, &verification, policy.code_length));
                verification.tag = self.peppers.current.tag(&verification.code_context(), &code);
                Some(code)
            }
        };
        let mut takes = self.send_limits(policy, caller, &verification);
        takes.extend(request.extras.own_limits.iter().map(|limit| limit.take(&caller.service)));
        let sends = Arc::clone(&policy.sends);
        Ok((Start { verification, takes, sends, rearm, idempotency, origin: caller.origin(), now }, code))
    }

    pub(super) fn prepare_resend(
        &self,
        policy: &Policy,
        caller: &Caller,
        mut verification: Verification,
        channel: Option<Channel>,
        own_code: Option<Code>,
        now: Timestamp,
    ) -> Result<(Resend, Option<Code>), InvalidField> {
        let asked = channel;
        let (channel, maker) = self.channel(&verification.destination, asked.or(Some(verification.channel)))?;
        if (maker == CodeMaker::Us) == (verification.code_by == CodeBy::Provider) {
            return Err(InvalidField::new("channel", "is served by a provider that cannot send this verification's code: start a new one"));
        }
        verification.channel = channel;
        let own_code =
            self.own_code(policy, own_code)?.or_else(|| self.test_destinations.get(verification.destination.canonical()).cloned());
        if (verification.code_by == CodeBy::Caller) != own_code.is_some() {
            let rule = if verification.code_by == CodeBy::Caller {
                "must be given again: a code of the caller's own is not kept"
            } else {
                "must not be given: this verification's codes are made here"
            };
            return Err(InvalidField::new("code", rule));
        }
        let idempotency = self.claim(caller, "resend", |digest| {
            digest(verification.id.as_bytes());
            // As it was asked: where none was named the message may have moved to another channel since.
            digest(asked.map_or("", Channel::as_str).as_bytes());
            digest(own_code.as_ref().map_or("", Code::expose).as_bytes());
        });
        let lives = now.until(verification.expires_at) >= worth_sending(policy.life(channel));
        let same = if policy.same_code && own_code.is_none() && lives { self.code_of(&verification) } else { None };
        let code = match same {
            _ if verification.code_by == CodeBy::Provider => None,
            // The same code keeps its end: it was issued once.
            Some(code) => Some(code),
            None => {
                verification.generation += 1;
                verification.pepper_id = self.peppers.current.id();
                verification.expires_at = (now + policy.life(verification.channel)).min(verification.created_at + LIFE_MAX);
                let code = own_code.unwrap_or_else(|| derive(&self.peppers.current, &verification, policy.code_length));
                verification.tag = self.peppers.current.tag(&verification.code_context(), &code);
                Some(code)
            }
        };
        let resend = Resend {
            id: verification.id,
            service: verification.service.clone(),
            revision: verification.revision,
            channel: verification.channel,
            generation: verification.generation,
            tag: verification.tag,
            pepper_id: verification.pepper_id,
            expires_at: verification.expires_at,
            idempotency,
            takes: self.send_limits(policy, caller, &verification),
            sends: Arc::clone(&policy.sends),
            origin: caller.origin(),
            now,
        };
        Ok((resend, code))
    }

    /// Every limit on a message: taken together or not at all.
    pub(super) fn send_limits(&self, policy: &Policy, caller: &Caller, verification: &Verification) -> Vec<Take> {
        if caller.has_paid {
            return Vec::new();
        }
        self.message_limits(policy, caller, &verification.destination, verification.subject.as_deref())
    }

    /// The same for a message to a destination, whatever stands in it.
    pub fn message_limits(&self, policy: &Policy, caller: &Caller, destination: &Destination, subject: Option<&str>) -> Vec<Take> {
        let service = caller.service.as_bytes();
        let failures = failures_key(&caller.service, destination, subject);
        let mut takes = vec![
            Take { key: failures, name: LimitName::Failures, rule: Rule::Failures(policy.failures(subject.is_some())) },
            Take {
                key: sends_key(&caller.service, destination, subject),
                name: LimitName::Destination,
                rule: Rule::Windows(Arc::clone(&policy.sends)),
            },
            Take {
                key: all_services_key(destination, subject),
                name: LimitName::DestinationAllServices,
                rule: Rule::Windows(Arc::clone(&self.destination_all_services)),
            },
            rate(LimitName::Service, policy.service_sends, &[service]),
        ];
        if let Some(country) = destination.country() {
            takes.push(rate(LimitName::Country, policy.country_sends, &[service, country.as_str().as_bytes()]));
        }
        if let Some(ip) = caller.ip {
            takes.push(rate(LimitName::IpSends, policy.ip_sends, &[service, &ip_key(ip)]));
        }
        takes
    }

    /// The same message on another channel: same code, same end. The message before never arrived, so nothing is new but the
    /// channel's own limits.
    pub(super) fn prepare_fallback(&self, policy: &Policy, verification: &Verification, channel: Channel, now: Timestamp) -> Resend {
        let caller = Caller { service: Arc::clone(&verification.service), client: None, ip: None, idempotency_key: None, has_paid: false };
        Resend {
            id: verification.id,
            service: Arc::clone(&verification.service),
            revision: verification.revision,
            channel,
            generation: verification.generation,
            tag: verification.tag,
            pepper_id: verification.pepper_id,
            expires_at: verification.expires_at,
            idempotency: None,
            takes: self.send_limits(policy, &caller, verification),
            sends: Arc::clone(&policy.sends),
            origin: Origin::default(),
            now,
        }
    }

    pub(super) fn target(&self, policy: &Policy, which: Which) -> Result<Target, InvalidField> {
        match which {
            Which::Id(id) => Ok(Target::Id(id)),
            Which::IdFor { id, purpose } => Ok(Target::IdFor { id, purpose }),
            Which::To { to, purpose } => {
                let destination = self.destination(policy, &to)?.key();
                Ok(Target::Newest { purpose: request::purpose(purpose)?, destination })
            }
        }
    }

    fn channel(&self, destination: &Destination, wanted: Option<Channel>) -> Result<(Channel, CodeMaker), InvalidField> {
        let channel = wanted.unwrap_or_else(|| Channel::usual(destination));
        if !channel.reaches(destination) {
            return Err(InvalidField::new("channel", "does not reach this kind of destination"));
        }
        match self.courier.code_maker(channel, destination.country()) {
            Some(maker) => Ok((channel, maker)),
            None => Err(InvalidField::new("channel", "has no configured provider for this destination").kind(InvalidKind::NotServed)),
        }
    }

    fn own_code(&self, policy: &Policy, code: Option<Code>) -> Result<Option<Code>, InvalidField> {
        match code {
            Some(_) if !policy.custom_code => {
                Err(InvalidField::new("code", "must not be given: this service makes its own codes (custom_code)"))
            }
            Some(code) if code.expose().len() < usize::from(policy.code_length) => {
                Err(InvalidField::new("code", format!("must have at least {} digits in this service", policy.code_length)))
            }
            code => Ok(code),
        }
    }

    /// The payload's digest is keyed: it covers a code, and a plain hash of that could be undone (OTP-07).
    pub(super) fn claim(&self, caller: &Caller, operation: &str, fields: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Option<IdempotencyClaim> {
        let idempotency_key = caller.idempotency_key.as_ref()?;
        let mut key = Sha256::new();
        for part in [caller.service.as_bytes(), operation.as_bytes(), idempotency_key.as_bytes()] {
            key.update((part.len() as u32).to_be_bytes());
            key.update(part);
        }
        let payload = self.peppers.current.digest(b"countersign payload\0", fields);
        Some(IdempotencyClaim { key: key.finalize().into(), payload })
    }

    pub(super) fn new_id(&self, now: Timestamp) -> VerificationId {
        id::new(now, self.entropy.as_ref())
    }

    fn random<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

pub(super) fn rate(name: LimitName, quota: crate::verification::limit::Quota, parts: &[&[u8]]) -> Take {
    Take { key: name.key(parts), name, rule: Rule::Rate(quota) }
}

/// An address as limits count it: IPv4 whole, IPv6 by its /64, and an IPv4-mapped one as the IPv4 that it is (ATT-10).
pub fn ip_key(ip: IpAddr) -> [u8; 8] {
    match ip.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, third, fourth] = address.octets();
            [0, 0, 0, 4, first, second, third, fourth]
        }
        IpAddr::V6(address) => {
            let mut network = [0; 8];
            network.copy_from_slice(&address.octets()[..8]);
            network
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ip_key;

    /// ATT-10, A32.
    #[test]
    fn addresses_are_counted_by_network() {
        let key = |text: &str| ip_key(text.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
    }
}
