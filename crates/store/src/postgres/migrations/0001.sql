-- The books and the reports in PostgreSQL. Times are microseconds since 1970; words of closed sets
-- are the numbers of `codes.rs`. Only ever followed by further files, never changed.
--
-- state: 0 runnable, 1 running, 2 waiting, 3 done, 4 dropped, 5 publishing (it may have landed).
-- reason: 1 backoff, 2 not_now, 3 pending, 4 parked, 5 held, 6 unclaimed, 7 suspect, 8 unique.

-- What a ticket is. Its position changes with every step, its body hardly ever: so the payload is
-- not written again with each step. `payload` is null while nobody has shown it to the books; it is
-- the one that the ticket had at `body_generation` and `body_hop`.
CREATE TABLE tickets (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  kind text NOT NULL,
  flow text,
  key text,
  content_type text,
  deadline bigint,
  created_at bigint NOT NULL,
  root uuid NOT NULL,
  parent uuid,
  depth bigint NOT NULL,
  trace text,
  payload bytea,
  body_generation bigint NOT NULL,
  body_hop bigint NOT NULL
);

CREATE INDEX tickets_by_key ON tickets (key) WHERE key IS NOT NULL;

-- Where a ticket is: one row for each row of `tickets`. `because` and `detail` are those of the
-- wait, or why and by whom it was dropped. While it is publishing, the columns of the wait say what
-- it comes back to should it not have left.
CREATE TABLE places (
  id uuid PRIMARY KEY,
  state smallint NOT NULL,
  stage text NOT NULL,
  generation bigint NOT NULL,
  hop bigint NOT NULL,
  attempt bigint NOT NULL,
  since bigint NOT NULL,
  holder text,
  version text,
  claimed boolean NOT NULL DEFAULT false,
  reason smallint,
  until bigint,
  because text,
  detail text,
  mark bigint,
  oops uuid,
  barrier bigint,
  lock_key text,
  next_key text
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX places_runnable ON places (stage, since) WHERE state = 0;
CREATE INDEX places_in_hand ON places (state) WHERE state IN (1, 5);
CREATE INDEX places_waiting ON places (reason, stage) WHERE state = 2;
CREATE INDEX places_due ON places (until) WHERE state = 2 AND reason IN (1, 2);
CREATE INDEX places_overdue ON places (until) WHERE state = 2 AND reason = 3;
CREATE INDEX places_ended ON places (since) WHERE state IN (3, 4);
CREATE INDEX places_at_work ON places (stage, lock_key) WHERE lock_key IS NOT NULL;
CREATE INDEX places_in_line ON places (stage, next_key) WHERE next_key IS NOT NULL;

-- Attempts whose end nobody has told yet; also those whose ticket has gone on without them, until
-- the report about them is among the oopses. One row for each name, since whoever writes here has
-- the ticket's place locked. There are never many: those of a holder are found by reading all.
CREATE TABLE attempts (
  ticket uuid NOT NULL,
  generation bigint NOT NULL,
  hop bigint NOT NULL,
  attempt bigint NOT NULL,
  stage text NOT NULL,
  holder text NOT NULL,
  hostname text NOT NULL,
  version text NOT NULL,
  started_at bigint NOT NULL,
  claimed boolean NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX attempts_of_ticket ON attempts (ticket);

-- What happened to tickets, a partition a day. An attempt has an `outcome`; a note has `what` and
-- `why`. `at` is when it ended or happened; `line` tells lines of the same moment apart.
CREATE SEQUENCE history_line CACHE 64;
CREATE TABLE history (
  at bigint NOT NULL,
  line bigint NOT NULL DEFAULT nextval('history_line'),
  ticket uuid NOT NULL,
  generation bigint NOT NULL,
  hop bigint NOT NULL,
  attempt bigint NOT NULL,
  stage text NOT NULL,
  started_at bigint,
  outcome smallint,
  holder text,
  version text,
  oops uuid,
  memory bigint,
  cpu_user bigint,
  cpu_system bigint,
  what text,
  why text
) PARTITION BY RANGE (at);
CREATE INDEX history_of_ticket ON history (ticket);
CREATE TABLE history_rest PARTITION OF history DEFAULT;

-- The reports, a partition a day. The columns are for finding, `body` has the whole report. An id
-- is there once in `oops_ids`, whatever time its reports tell.
CREATE TABLE oops_ids (id uuid PRIMARY KEY, time bigint NOT NULL);
CREATE INDEX oops_ids_by_time ON oops_ids (time);
CREATE SEQUENCE oopses_seq CACHE 1;
CREATE TABLE oopses (
  seq bigint NOT NULL DEFAULT nextval('oopses_seq'),
  id uuid NOT NULL,
  ticket uuid NOT NULL,
  time bigint NOT NULL,
  stage text NOT NULL,
  flow text,
  kind text NOT NULL,
  outcome smallint NOT NULL,
  type text NOT NULL,
  value text NOT NULL,
  version text NOT NULL,
  host text NOT NULL,
  worker text NOT NULL,
  trace text,
  src text NOT NULL,
  attempt bigint NOT NULL,
  body text NOT NULL
) PARTITION BY RANGE (time);
CREATE INDEX oopses_by_id ON oopses (id);
CREATE INDEX oopses_by_time ON oopses (time);
CREATE INDEX oopses_of_ticket ON oopses (ticket);
CREATE TABLE oopses_rest PARTITION OF oopses DEFAULT;

-- The sums, so that nobody ever counts rows. Several writers, several shards; the sum over the
-- shards is the number. `what`: 1 accepted, 2 done, 3 dropped, 4 forgotten (stage ''), 5 attempts
-- done, 6 attempts failed, 10 runnable (publishing included), 11 running, 20 + reason waiting.
CREATE TABLE counts (
  stage text NOT NULL,
  what smallint NOT NULL,
  shard smallint NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (stage, what, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

-- The desired state. Whoever changes a part of it locks the one row of `control` first.
CREATE TABLE control (one boolean PRIMARY KEY DEFAULT true CHECK (one), revision bigint NOT NULL);
INSERT INTO control (revision) VALUES (0);
CREATE TABLE holds (
  stage text PRIMARY KEY,
  since bigint NOT NULL,
  reason text NOT NULL,
  by text NOT NULL,
  version text,
  oops uuid
);
CREATE TABLE fences (
  ticket uuid PRIMARY KEY,
  generation bigint NOT NULL,
  revision bigint NOT NULL
);
CREATE INDEX fences_by_revision ON fences (revision);

-- Who leads. A transaction of the ledger shares this row's lock, so a new term waits for it.
CREATE TABLE leader (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  term bigint NOT NULL,
  holder text NOT NULL
);
INSERT INTO leader (term, holder) VALUES (0, '');
