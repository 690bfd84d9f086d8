-- Callers of the API. What is in the table of that name beside the verifications is taken over.
CREATE TABLE client (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    service VARCHAR(255) NOT NULL,
    name TEXT NOT NULL,
    key_prefix VARCHAR(64) NOT NULL,
    -- SHA-256 of a 256-bit random key, base64url.
    key_hash VARCHAR(64) NOT NULL,
    -- Separated by spaces.
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- To the minute.
    last_used_at BIGINT,
    revoked_at BIGINT,
    CONSTRAINT client_key_prefix_is_unique UNIQUE (key_prefix)
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
