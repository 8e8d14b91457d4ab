-- Subscriptions: what a plan needs to know to begin, change and end. Every column has a default, so that an older process
-- runs on beside it.

ALTER TABLE accounts ADD COLUMN allowance INTEGER;
ALTER TABLE accounts ADD COLUMN overused INTEGER NOT NULL DEFAULT 0 CHECK (overused >= 0);
ALTER TABLE accounts ADD COLUMN ends_at INTEGER;
ALTER TABLE accounts ADD COLUMN anchored_at INTEGER;
ALTER TABLE accounts ADD COLUMN next_plan TEXT;
ALTER TABLE accounts ADD COLUMN next_plan_at INTEGER;
ALTER TABLE accounts ADD COLUMN next_plan_days INTEGER;
ALTER TABLE accounts ADD COLUMN trialed_at INTEGER;

ALTER TABLE plans ADD COLUMN timezone TEXT;
ALTER TABLE plans ADD COLUMN duration_days INTEGER;
ALTER TABLE plans ADD COLUMN after TEXT;
ALTER TABLE plans ADD COLUMN trial INTEGER NOT NULL DEFAULT 0 CHECK (trial IN (0, 1));
ALTER TABLE plans ADD COLUMN prorated INTEGER NOT NULL DEFAULT 0 CHECK (prorated IN (0, 1));

DROP VIEW users;

-- Subscribed is who has another plan than everybody gets; it ends with the time that was paid for, or as settled.
CREATE VIEW users AS
SELECT
    a.account_id AS id,
    a.email,
    a.name,
    a.plan,
    CASE WHEN (a.posted - a.held) % 1000000000 = 0 THEN (a.posted - a.held) / 1000000000 ELSE (a.posted - a.held) / 1e9 END AS credits,
    CASE WHEN a.posted % 1000000000 = 0 THEN a.posted / 1000000000 ELSE a.posted / 1e9 END AS posted,
    CASE WHEN a.held % 1000000000 = 0 THEN a.held / 1000000000 ELSE a.held / 1e9 END AS held,
    CASE WHEN p.allowance % 1000000000 = 0 THEN p.allowance / 1000000000 ELSE p.allowance / 1e9 END AS credits_limit,
    CASE WHEN (a.posted - a.held) % 1000000000 = 0 THEN (a.posted - a.held) / 1000000000 ELSE (a.posted - a.held) / 1e9 END AS ai_credits,
    CASE WHEN p.allowance % 1000000000 = 0 THEN p.allowance / 1000000000 ELSE p.allowance / 1e9 END AS ai_credits_limit,
    strftime('%Y-%m-%dT%H:%M:%S', a.last_reset / 1000000, 'unixepoch') || printf('.%06dZ', a.last_reset % 1000000) AS ai_credits_last_reset,
    -- 2,000 tokens to a credit, so 500,000 nano-credits to a token; summed apart, since a lifetime may exceed 64 bits.
    (
        SELECT coalesce(-sum(t.amount / 1000000000) * 2000 - sum(t.amount % 1000000000) / 500000, 0) FROM transactions AS t
        WHERE t.account_id = a.account_id AND t.type IN ('CONSUMPTION', 'REFUND')
    ) AS total_tokens_used,
    a.spent / 500000 AS monthly_tokens_used,
    strftime('%Y-%m-%dT%H:%M:%S', a.next_reset / 1000000, 'unixepoch') || printf('.%06dZ', a.next_reset % 1000000) AS monthly_reset_date,
    coalesce(a.plan <> coalesce((SELECT s.value FROM settings AS s WHERE s.name = 'default_plan'), 'free'), 0) AS is_subscribed,
    a.plan AS subscription_tier,
    strftime('%Y-%m-%dT%H:%M:%S', coalesce(a.next_plan_at, a.ends_at) / 1000000, 'unixepoch') || printf('.%06dZ', coalesce(a.next_plan_at, a.ends_at) % 1000000) AS subscription_ends_at,
    strftime('%Y-%m-%dT%H:%M:%S', a.created_at / 1000000, 'unixepoch') || printf('.%06dZ', a.created_at % 1000000) AS created_at
FROM accounts AS a
LEFT JOIN plans AS p ON p.name = a.plan;
