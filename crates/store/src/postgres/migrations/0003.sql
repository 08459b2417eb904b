-- Trials: who took its process along is found out by trying each ticket alone.

-- `alone`: a process died at it, so it is tried alone, until an attempt of it ends in another way
-- than a crash. Reason 9 is trial: it waits for its turn.
ALTER TABLE places ADD COLUMN alone boolean NOT NULL DEFAULT false;
CREATE INDEX places_trial ON places (stage, until, id) WHERE state = 2 AND reason = 9;
-- Those that may be out, so that the others of their stage wait. There are hardly ever any.
CREATE INDEX places_alone ON places (stage)
  WHERE alone AND (state IN (0, 1, 5) OR state = 2 AND reason IN (1, 2, 7));
-- A trial is held like a back-off.
DROP INDEX places_failed;
CREATE INDEX places_failed ON places (stage, signature)
  WHERE state = 2 AND reason IN (1, 9) AND signature IS NOT NULL;

-- How many attempts a holder had open when its death became known: none of them is judged without
-- the others, however many have been judged since. As long as one of them is open.
CREATE TABLE deaths (
  holder text PRIMARY KEY,
  in_hand bigint NOT NULL,
  at bigint NOT NULL
);
