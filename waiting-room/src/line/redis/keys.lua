-- Names of an event's keys, shared by all its scripts; keys.rs has the same. The braces in the
-- prefix keep them in one slot of a cluster. Every file lists the keys that its own lines touch;
-- those of the shared files that it uses are listed there. A visitor is written as in the API:
-- vis_ and 32 hex digits.
-- KEYS[1] prefix of the event's keys: fairline:{event}
local call, base = redis.call, KEYS[1]
local keys = {
  meta = base .. ':meta', -- hash: settings, policy, counters, identities
  waiting = base .. ':waiting', -- sorted set: visitors who wait, by number
  alive = base .. ':alive', -- bitmap: numbers that wait; the index of positions and of admission
  admitted = base .. ':admitted', -- sorted set: holders of slots by the ms at which these lapse
  slots = base .. ':slots', -- hash: holder (a visitor, or #number if not known) to slot
  ended = base .. ':ended', -- hash: visitor to the number of a place that is over, and how it ended
  past = base .. ':past', -- hash: number that waits no more to its visitor
  codes = base .. ':codes', -- string: a byte for each number, how its place ended (0: it did not)
  owners = base .. ':owners', -- string: 2 bytes for each number, the node with the socket (0: none)
  deadlines = base .. ':deadlines', -- string: 6 bytes for each number, ms of its end without a sign of life
  aways = base .. ':aways', -- sorted set: chunks of 512 deadlines by the earliest
  joined = base .. ':joined', -- sorted set: seconds by the highest number that was given out in them
  waits = base .. ':waits', -- list: seconds that the newest 1,000 admitted visitors waited
  log = base .. ':log', -- list: the newest numbers whose slots began, changed or ended, or that ended
  decisions = base .. ':decisions', -- stream: who was admitted, how slots ended, the draw; for the checkout
  drawn = base .. ':drawn', -- hash: the published draw, 512 visitors a field by their numbers
  nodes = base .. ':nodes', -- hash: node to its index, 1 to 65,535, and its registration
  beats = base .. ':beats', -- sorted set: nodes by the ms of their last tick
  reaping = base .. ':reaping', -- hash: index of a dead node to the next number and its last beat
  told = base .. ':told', -- set: nodes that reported what they know since data was lost
  cleared = base .. ':cleared', -- bitmap: numbers that stopped waiting by such a report
  mask = base .. ':mask', -- string: used within one script
}

-- Returns the list of visitors whose sockets have moved away from the node with this index.
local function inbox(index)
  return base .. ':in:' .. index
end
