-- Forgetting a person: texts and salts go, amounts and digests stay, so that the hash chain still verifies.

-- Without the salt nobody can try out what the digest was made of.
-- name: erase_transactions
UPDATE transactions SET description = NULL, metadata = NULL, idempotency_key = NULL, salt = NULL
WHERE account_id = ?1;

-- A hold's texts repeat those of its transactions.
-- name: erase_holds
UPDATE holds SET description = NULL, metadata = NULL, idempotency_key = NULL WHERE account_id = ?1;

-- A key's text is the caller's own and may name a person.
-- name: erase_keys
DELETE FROM idempotency_keys WHERE account_id = ?1;

-- Nobody signs in to it again.
-- name: erase_logins
DELETE FROM logins WHERE account_id = ?1;

-- Nor by a provider.
-- name: erase_identities
DELETE FROM identities WHERE account_id = ?1;

-- Its keys end with it.
-- name: erase_api_keys
DELETE FROM api_keys WHERE account_id = ?1;

-- Pictures lie in the data folder too, under these ids.
-- name: list_media
SELECT id FROM media WHERE account_id = ?1 ORDER BY id;

-- What was made for it.
-- name: erase_media
DELETE FROM media WHERE account_id = ?1;
