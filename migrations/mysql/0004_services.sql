-- Services that clients make at run time, their own limits, the index of what was sent, and credentials in Twilio's form.
-- SIDs are two letters and 32 hexadecimal digits.

CREATE TABLE service (
    sid VARCHAR(64) NOT NULL PRIMARY KEY,
    -- Who made it, and alone may use it.
    client_id VARCHAR(64) NOT NULL,
    -- JSON.
    settings TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX service_by_client ON service (client_id, created_at);

CREATE TABLE rate_limit (
    sid VARCHAR(64) NOT NULL PRIMARY KEY,
    -- Of a configured service too, so that nothing is referred to.
    service_sid VARCHAR(64) NOT NULL,
    unique_name VARCHAR(255) NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT rate_limit_name_is_unique UNIQUE (service_sid, unique_name)
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;

CREATE TABLE rate_limit_bucket (
    sid VARCHAR(64) NOT NULL PRIMARY KEY,
    rate_limit_sid VARCHAR(64) NOT NULL,
    most BIGINT NOT NULL,
    seconds BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT rate_limit_bucket_interval_is_unique UNIQUE (rate_limit_sid, seconds),
    CONSTRAINT rate_limit_bucket_of_limit FOREIGN KEY (rate_limit_sid) REFERENCES rate_limit (sid) ON DELETE CASCADE
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;

-- One row a message, written a moment behind it: for lists and sums. What it says of itself stands with the verification.
CREATE TABLE attempt (
    sid VARCHAR(64) NOT NULL PRIMARY KEY,
    client_id VARCHAR(64) NOT NULL,
    service_sid VARCHAR(64) NOT NULL,
    verification_id VARCHAR(64) NOT NULL,
    channel VARCHAR(64) NOT NULL,
    -- ISO 3166 of a number, empty of an address.
    country VARCHAR(64) NOT NULL,
    -- Digest of the destination.
    destination VARCHAR(64) NOT NULL,
    -- The first digits of a number, for sums.
    prefix VARCHAR(64) NOT NULL,
    created_at BIGINT NOT NULL,
    -- Its code was the right one.
    converted_at BIGINT
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX attempt_by_client ON attempt (client_id, created_at);
CREATE INDEX attempt_by_age ON attempt (created_at);

CREATE TABLE twilio_credential (
    -- AC… of an account, SK… of an API key.
    sid VARCHAR(64) NOT NULL PRIMARY KEY,
    client_id VARCHAR(64) NOT NULL,
    -- SHA-256 of 128 random bits, base64url.
    secret_hash VARCHAR(64) NOT NULL,
    -- The Auth Token once more, sealed: what we send to webhooks is signed with it. None of an API key.
    sealed TEXT,
    created_at BIGINT NOT NULL
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX twilio_credential_by_client ON twilio_credential (client_id);
