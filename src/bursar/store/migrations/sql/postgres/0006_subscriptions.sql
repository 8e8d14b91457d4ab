-- Subscriptions: what a plan needs to know to begin, change and end. Every column has a default, so that an older process
-- runs on beside it.

ALTER TABLE accounts ADD COLUMN allowance bigint;
ALTER TABLE accounts ADD COLUMN overused bigint NOT NULL DEFAULT 0 CHECK (overused >= 0);
ALTER TABLE accounts ADD COLUMN ends_at timestamptz;
ALTER TABLE accounts ADD COLUMN anchored_at timestamptz;
ALTER TABLE accounts ADD COLUMN next_plan text;
ALTER TABLE accounts ADD COLUMN next_plan_at timestamptz;
ALTER TABLE accounts ADD COLUMN next_plan_days bigint;
ALTER TABLE accounts ADD COLUMN trialed_at timestamptz;

ALTER TABLE plans ADD COLUMN timezone text;
ALTER TABLE plans ADD COLUMN duration_days bigint;
ALTER TABLE plans ADD COLUMN after text;
ALTER TABLE plans ADD COLUMN trial boolean NOT NULL DEFAULT false;
ALTER TABLE plans ADD COLUMN prorated boolean NOT NULL DEFAULT false;

-- Subscribed is who has another plan than everybody gets; it ends with the time that was paid for, or as settled.
CREATE OR REPLACE VIEW users AS
SELECT
    a.account_id AS id,
    a.email,
    a.name,
    a.plan,
    trim_scale((a.posted::numeric - a.held) * 0.000000001) AS credits,
    trim_scale(a.posted * 0.000000001) AS posted,
    trim_scale(a.held * 0.000000001) AS held,
    trim_scale(p.allowance * 0.000000001) AS credits_limit,
    trim_scale((a.posted::numeric - a.held) * 0.000000001) AS ai_credits,
    trim_scale(p.allowance * 0.000000001) AS ai_credits_limit,
    a.last_reset AS ai_credits_last_reset,
    -- 2,000 tokens to a credit, so 500,000 nano-credits to a token.
    (
        SELECT coalesce(div(-sum(t.amount), 500000), 0)::bigint FROM transactions AS t
        WHERE t.account_id = a.account_id AND t.type IN ('CONSUMPTION', 'REFUND')
    ) AS total_tokens_used,
    a.spent / 500000 AS monthly_tokens_used,
    a.next_reset AS monthly_reset_date,
    coalesce(a.plan <> coalesce((SELECT s.value FROM settings AS s WHERE s.name = 'default_plan'), 'free'), false)
        AS is_subscribed,
    a.plan AS subscription_tier,
    coalesce(a.next_plan_at, a.ends_at) AS subscription_ends_at,
    a.created_at
FROM accounts AS a
LEFT JOIN plans AS p ON p.name = a.plan;
