-- Breakers and release plans: what keeps failing waits for repair, and is released by a plan.

-- `signature`: how the last attempt failed, while that is the newest word about the ticket.
-- `plan`: the release plan that let it go, until the next attempt has ended. `avoid`: versions that
-- it must not run on, one a line; until it is started. A held ticket with `mark` 1 waits for the
-- repair of the signature in `detail`.
ALTER TABLE places ADD COLUMN signature text, ADD COLUMN plan uuid, ADD COLUMN avoid text;
CREATE INDEX places_repair ON places (stage, detail, since, id)
  WHERE state = 2 AND reason = 5 AND mark = 1;
CREATE INDEX places_failed ON places (stage, signature)
  WHERE state = 2 AND reason = 1 AND signature IS NOT NULL;
CREATE INDEX places_planned ON places (plan) WHERE plan IS NOT NULL;

-- Of each stage: its versions, when its breakers have something to do by time, whether one of them
-- has anything to remember, and how many permits its gate has given. Whoever changes a breaker, a
-- plan or a gate holds one advisory lock, so that they come one after the other.
CREATE TABLE boards (
  stage text PRIMARY KEY,
  roster bytea,
  next_at bigint,
  is_tripped boolean NOT NULL DEFAULT false,
  permits bigint NOT NULL DEFAULT 0
);
-- `scope` is a signature, or empty for the stage as a whole.
CREATE TABLE breakers (
  stage text NOT NULL,
  scope text NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (stage, scope)
);
-- Who serves each stage with which version, as the leader last heard.
CREATE TABLE servers (
  stage text NOT NULL,
  version text NOT NULL,
  holder text NOT NULL,
  PRIMARY KEY (stage, version, holder)
);
-- Stages that fail as a whole: part of the desired state. `is_used` says whether the holder of the
-- permit has taken its delivery.
CREATE TABLE gates (
  stage text PRIMARY KEY,
  since bigint NOT NULL,
  reason text NOT NULL,
  permit bigint,
  holder text,
  is_used boolean NOT NULL DEFAULT false
);

-- Release plans. `next_at` is when there is something to do; `is_live`, whether the end of some
-- ticket is still to be told to it.
CREATE TABLE plans (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  next_at bigint,
  is_live boolean NOT NULL,
  body bytea NOT NULL
);
CREATE INDEX plans_due ON plans (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX plans_live ON plans (id) WHERE is_live;
