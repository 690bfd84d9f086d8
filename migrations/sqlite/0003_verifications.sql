-- Verifications where servers share them. Times are milliseconds since the Unix epoch, ids are UUIDs in lower case, hashes
-- are hexadecimal. A code is nowhere: `tag` is its HMAC, and it is derived from `seed` and a pepper that is not here.

CREATE TABLE verification (
    -- UUIDv7: rows lie in the order of time.
    id TEXT NOT NULL PRIMARY KEY,
    service TEXT NOT NULL,
    purpose TEXT NOT NULL,
    -- E.164, or a mail address
    destination TEXT NOT NULL,
    -- of a phone number
    country TEXT,
    subject TEXT,
    locale TEXT NOT NULL,
    max_attempts BIGINT NOT NULL,
    seed TEXT NOT NULL,
    -- server, caller, provider
    code_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    metadata TEXT,
    -- Buckets of wrong codes in a row and of messages.
    failures_key TEXT NOT NULL,
    sends_key TEXT NOT NULL,
    -- Service and destination, for listings.
    list_key TEXT NOT NULL,
    channel TEXT NOT NULL,
    -- pending, approved, canceled
    status TEXT NOT NULL,
    -- One more with every event.
    revision BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    sends BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    pepper_id BIGINT NOT NULL,
    tag TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- queued, sent, delivered, failed
    delivery TEXT NOT NULL,
    provider TEXT,
    reference TEXT,
    -- Service, purpose and destination, while it is pending.
    pending_key TEXT,
    -- The replica that is to hand the newest message to a provider, while none has it.
    queued_by TEXT
);
CREATE INDEX verification_by_destination ON verification (list_key, id);
CREATE INDEX verification_pending ON verification (pending_key, expires_at) WHERE pending_key IS NOT NULL;
CREATE INDEX verification_queued ON verification (queued_by) WHERE queued_by IS NOT NULL;

-- The audit log and the timelines.
CREATE TABLE event (
    about TEXT NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    client TEXT,
    ip TEXT,
    detail TEXT,
    PRIMARY KEY (about, revision)
);

-- The limits. Its meaning is the rule's: times, an arrival, a count.
CREATE TABLE bucket (
    bucket_key TEXT NOT NULL PRIMARY KEY,
    -- JSON: a few numbers.
    state TEXT NOT NULL,
    -- From then on it is as good as new.
    forget_at BIGINT NOT NULL
);

CREATE TABLE idempotency (
    idempotency_key TEXT NOT NULL PRIMARY KEY,
    payload TEXT NOT NULL,
    -- JSON; none while it is being made.
    answer TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Whose code a provider's reference stands for, where the provider makes the codes.
CREATE TABLE provider_reference (
    reference_key TEXT NOT NULL PRIMARY KEY,
    verification TEXT NOT NULL,
    good_for TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    forget_at BIGINT NOT NULL
);
CREATE INDEX provider_reference_by_age ON provider_reference (forget_at);

-- Servers on these tables, and until when each is known to live.
CREATE TABLE replica (
    id TEXT NOT NULL PRIMARY KEY,
    lives_until BIGINT NOT NULL
);
