-- Spending limits and members. The limits of an account, and of a member, stand in its row as JSON: definitions, and what
-- they have counted in the window under way.

ALTER TABLE accounts ADD COLUMN limits TEXT;

CREATE TABLE members (
    account_id TEXT NOT NULL,
    member     TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('added', 'removed', 'named')),
    created_at INTEGER NOT NULL,
    limits     TEXT,
    digest     BLOB NOT NULL,
    PRIMARY KEY (account_id, member)
) STRICT, WITHOUT ROWID;
