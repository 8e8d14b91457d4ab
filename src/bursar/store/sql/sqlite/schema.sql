-- Which schema this database has. Read once, when a store opens.

-- The oldest schema whose Bursar may still run here stands beside the schema itself.
-- name: schema_version
SELECT v.version_num, (SELECT s.value FROM settings AS s WHERE s.name = 'compatible_from') FROM bursar_version AS v;
