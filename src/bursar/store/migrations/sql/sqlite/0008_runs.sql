-- Runs. A run is a hold with a budget; a hold or transaction may be part of one.

ALTER TABLE holds ADD COLUMN run TEXT;
ALTER TABLE holds ADD COLUMN budget INTEGER;
ALTER TABLE holds ADD COLUMN counted_at INTEGER;
ALTER TABLE transactions ADD COLUMN run TEXT;

CREATE INDEX holds_runs ON holds (account_id, run) WHERE run IS NOT NULL;
CREATE INDEX holds_budgets ON holds (account_id, hold_id) WHERE budget IS NOT NULL;
CREATE INDEX transactions_runs ON transactions (account_id, run, seq) WHERE run IS NOT NULL;
