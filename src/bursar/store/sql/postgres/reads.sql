-- Pages for people: bounded, by cursor, and the ledger is never scanned.

-- All accounts, or those whose id, email or name contains $1, of a plan $2 or status $3, after an id $4.
-- name: list_accounts
SELECT {account} FROM accounts
WHERE account_id > coalesce($4::text, '')
    AND (
        $1::text IS NULL
        OR position(lower($1::text) IN lower(account_id)) > 0
        OR position(lower($1::text) IN lower(email)) > 0
        OR position(lower($1::text) IN lower(name)) > 0
    )
    AND ($2::text IS NULL OR plan = $2::text)
    AND ($3::text IS NULL OR status = $3::text)
ORDER BY account_id LIMIT $5::bigint;

-- An email may stand at several accounts; the oldest comes first.
-- name: find_account_by_email
SELECT {account} FROM accounts WHERE email = $1::text ORDER BY created_at, account_id LIMIT 1;

-- One account's statement, newest first: of a type $2 or skill $3, since $4, until $5 (half-open), before a seq $6.
-- name: list_transactions
SELECT {transaction} FROM transactions
WHERE account_id = $1::text
    AND ($2::text IS NULL OR type = $2::text)
    AND ($3::text IS NULL OR skill = $3::text)
    AND ($4::timestamptz IS NULL OR effective_at >= $4::timestamptz)
    AND ($5::timestamptz IS NULL OR effective_at < $5::timestamptz)
    AND seq < coalesce($6::bigint, 9223372036854775807)
ORDER BY account_id DESC, seq DESC LIMIT $7::bigint;

-- One account's holds, of a state $2, after a hold id $3.
-- name: list_holds
SELECT {hold} FROM holds
WHERE account_id = $1::text AND ($2::text IS NULL OR state = $2::text) AND hold_id > coalesce($3::text, '')
ORDER BY account_id, hold_id LIMIT $4::bigint;

-- One account's runs, ended ones too, after a run id $2.
-- name: list_runs
SELECT {hold} FROM holds
WHERE account_id = $1::text AND budget IS NOT NULL AND hold_id > coalesce($2::text, '')
ORDER BY account_id, hold_id LIMIT $3::bigint;

-- The runs in a run: a task's parts.
-- name: list_inner_runs
SELECT hold_id FROM holds WHERE account_id = $1::text AND run = $2::text AND budget IS NOT NULL ORDER BY hold_id;

-- What the calls of a run came to so far, refunds taken off, and how many were charged.
-- name: sum_run
SELECT
    coalesce(-sum(amount), 0)::bigint AS spent,
    count(*) FILTER (WHERE type = 'CONSUMPTION') AS calls
FROM transactions WHERE account_id = $1::text AND run = $2::text;

-- The transactions of a run's calls, newest first, before a seq $3.
-- name: list_run_transactions
SELECT {transaction} FROM transactions
WHERE account_id = $1::text AND run = $2::text AND seq < coalesce($3::bigint, 9223372036854775807)
ORDER BY seq DESC LIMIT $4::bigint;

-- One account's lots, spent ones too, after a lot id $2.
-- name: list_lots
SELECT {lot} FROM lots
WHERE account_id = $1::text AND lot_id > coalesce($2::text, '')
ORDER BY account_id, lot_id LIMIT $3::bigint;

-- What the job has to touch at $1; both halves read the front of a small index.
-- name: due_accounts
(
    SELECT account_id FROM (
        SELECT account_id FROM accounts WHERE due_at <= $1::timestamptz ORDER BY due_at LIMIT $2::bigint
    ) AS a
    UNION
    SELECT account_id FROM (
        SELECT account_id FROM holds
        WHERE settled_at IS NULL AND expires_at <= $1::timestamptz
        ORDER BY expires_at LIMIT $2::bigint
    ) AS h
)
ORDER BY account_id LIMIT $2::bigint;

-- For people's pages and reports.
-- name: count_accounts
SELECT count(*) FROM accounts;

-- One account's own reports: its transactions before a seq $2, newest first.
-- name: walk_transactions
SELECT {walked} FROM transactions WHERE account_id = $1::text AND seq < $2::bigint
ORDER BY account_id DESC, seq DESC LIMIT $3::bigint;
