-- The user of the exporter, where there is none yet.
SELECT 'CREATE ROLE prometheus LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prometheus')
UNION ALL SELECT 'GRANT pg_monitor TO prometheus' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prometheus')
UNION ALL SELECT $$SELECT 'made'$$ WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prometheus') \gexec
