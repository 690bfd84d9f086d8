-- Callers of the API. What is in the table of that name beside the verifications is taken over.
CREATE TABLE client (
    id TEXT NOT NULL PRIMARY KEY,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    key_prefix TEXT NOT NULL,
    -- SHA-256 of a 256-bit random key, base64url.
    key_hash TEXT NOT NULL,
    -- Separated by spaces.
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- To the minute.
    last_used_at BIGINT,
    revoked_at BIGINT,
    CONSTRAINT client_key_prefix_is_unique UNIQUE (key_prefix)
);
