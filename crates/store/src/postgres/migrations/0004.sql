-- Plans made by hand: what waits for a reason is found in the order in which it came to wait, slice
-- by slice, however much of it there is. A plan of any reason asks for each of them.
CREATE INDEX places_waiting_since ON places (reason, since, id) WHERE state = 2;
