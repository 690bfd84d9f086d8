-- Services that clients make at run time, their own limits, the index of what was sent, and credentials in Twilio's form.
-- SIDs are two letters and 32 hexadecimal digits.

CREATE TABLE service (
    sid TEXT NOT NULL PRIMARY KEY,
    -- Who made it, and alone may use it.
    client_id TEXT NOT NULL,
    -- JSON.
    settings TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX service_by_client ON service (client_id, created_at);

CREATE TABLE rate_limit (
    sid TEXT NOT NULL PRIMARY KEY,
    -- Of a configured service too, so that nothing is referred to.
    service_sid TEXT NOT NULL,
    unique_name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT rate_limit_name_is_unique UNIQUE (service_sid, unique_name)
);

CREATE TABLE rate_limit_bucket (
    sid TEXT NOT NULL PRIMARY KEY,
    rate_limit_sid TEXT NOT NULL,
    most BIGINT NOT NULL,
    seconds BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT rate_limit_bucket_interval_is_unique UNIQUE (rate_limit_sid, seconds),
    CONSTRAINT rate_limit_bucket_of_limit FOREIGN KEY (rate_limit_sid) REFERENCES rate_limit (sid) ON DELETE CASCADE
);

-- One row a message, written a moment behind it: for lists and sums. What it says of itself stands with the verification.
CREATE TABLE attempt (
    sid TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    service_sid TEXT NOT NULL,
    verification_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    -- ISO 3166 of a number, empty of an address.
    country TEXT NOT NULL,
    -- Digest of the destination.
    destination TEXT NOT NULL,
    -- The first digits of a number, for sums.
    prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Its code was the right one.
    converted_at BIGINT
);
CREATE INDEX attempt_by_client ON attempt (client_id, created_at);
CREATE INDEX attempt_by_age ON attempt (created_at);

CREATE TABLE twilio_credential (
    -- AC… of an account, SK… of an API key.
    sid TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    -- SHA-256 of 128 random bits, base64url.
    secret_hash TEXT NOT NULL,
    -- The Auth Token once more, sealed: what we send to webhooks is signed with it. None of an API key.
    sealed TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX twilio_credential_by_client ON twilio_credential (client_id);
