-- Which kinds of tickets a worker takes at a stage, a line each; null takes all.
ALTER TABLE servers ADD COLUMN kinds text;
-- Who waits for somebody that takes it is found by its kind, which `detail` names since now. One of
-- before goes to anybody who serves its stage.
CREATE INDEX places_unclaimed ON places (stage, (coalesce(detail, ''))) WHERE state = 2 AND reason = 6;
