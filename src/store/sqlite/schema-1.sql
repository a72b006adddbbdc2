-- digest: the first 8 bytes of SHA-256 over key, revision and body. SQLite itself would hand out a
-- body with a flipped bit; we call it damaged.
CREATE TABLE record (
    key      TEXT    NOT NULL PRIMARY KEY,
    body     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    digest   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The feed. at: milliseconds since the epoch; n: the place within its commit; no body: removed.
CREATE TABLE event (
    revision INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    body     TEXT,
    digest   INTEGER NOT NULL,
    PRIMARY KEY (revision, n)
) STRICT, WITHOUT ROWID;
