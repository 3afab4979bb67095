-- After prepare_db: are all rows there, the indexes that every {id} path needs, statistics,
-- and last of all the mark.
\getenv mark BINGO_MARK
\getenv scale BINGO_SCALE
SELECT (SELECT count(*) FROM sessions) AS sessions, floor(5000000 * :'scale'::numeric) AS wanted \gset
SELECT :sessions < :wanted AS missing \gset
\if :missing
    \warn 'prepare_db ended well, but there are' :sessions 'sessions of' :wanted
    DO $$ BEGIN RAISE 'the data are not complete'; END $$;
\endif
CREATE INDEX IF NOT EXISTS sessions_id_idx ON sessions (id);
CREATE INDEX IF NOT EXISTS customers_id_idx ON customers (id);
CREATE INDEX IF NOT EXISTS movies_id_idx ON movies (id);
CREATE INDEX IF NOT EXISTS customers_order_idx ON customers (surname, name, birthday DESC, id DESC);
-- The list of sessions is ordered by these, and ends after 100,000 of 5,000,000: with them nothing has to be sorted as a whole.
CREATE INDEX IF NOT EXISTS movies_order_idx ON movies (year DESC, name, id);
CREATE INDEX IF NOT EXISTS sessions_order_idx ON sessions (movie_id, customer_id, id DESC);
ANALYZE sessions, customers, movies;
SELECT format('COMMENT ON DATABASE %I IS %L', current_database(), :'mark') \gexec
