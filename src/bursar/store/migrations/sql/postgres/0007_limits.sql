-- Spending limits and members. The limits of an account, and of a member, stand in its row as JSON: definitions, and what
-- they have counted in the window under way.

ALTER TABLE accounts ADD COLUMN limits json;

CREATE TABLE members (
    account_id text COLLATE "C" NOT NULL,
    member     text COLLATE "C" NOT NULL,
    status     text NOT NULL CHECK (status IN ('added', 'removed', 'named')),
    created_at timestamptz NOT NULL,
    limits     json,
    digest     bytea NOT NULL,
    PRIMARY KEY (account_id, member)
) WITH (fillfactor = 70);
