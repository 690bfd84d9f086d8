-- What must outlive Redis, where verifications lie there: wrong codes in a row, and codes that were used.
CREATE TABLE kept_failure (
    -- 'f': the failures of a bucket. 'u': a verification whose code was used.
    kind VARCHAR(1) NOT NULL,
    -- Hexadecimal: the bucket's key, or the verification's id.
    id VARCHAR(32) NOT NULL,
    -- 0 once they were forgiven.
    failures BIGINT NOT NULL,
    at BIGINT NOT NULL,
    forget_at BIGINT NOT NULL,
    -- Larger than that of every change before: the newest stays, in whatever order servers write.
    sequence BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX kept_failure_by_end ON kept_failure (forget_at);
