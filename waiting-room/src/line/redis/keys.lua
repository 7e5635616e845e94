-- Names of an event's keys, shared by all its scripts; keys.rs has the same. The braces in the
-- prefix keep them in one slot of a cluster.
-- KEYS[1] prefix of the event's keys: fairline:{event}
local call, base = redis.call, KEYS[1]
local meta = base .. ':meta' -- hash: the settings, the policy, the counters
local slots = base .. ':slots' -- hash: number to slot, as slot_of reads it
local lapses = base .. ':lapses' -- sorted set: numbers by the time at which their slots lapse
local waits = base .. ':waits' -- list: seconds that the newest 1,000 admitted visitors waited
local nodes = base .. ':nodes' -- hash: node to index, 1 to 250
local beats = base .. ':beats' -- sorted set: nodes by the time of their last tick
local reaping = base .. ':reaping' -- hash: dead node to the next chunk of owners to be searched
local reporters = base .. ':told' -- set: nodes that reported their state since data was lost

-- Returns the list of visitors whose sockets have moved away from the node with this index.
local function inbox(index)
  return base .. ':in:' .. index
end

-- Returns the prefix of the keys that a draw replaces: the next generation has the next number.
local function generation_of(number)
  return base .. ':' .. number
end

-- Returns the names of a generation's bitmap of waiting numbers, its hash of visitors to numbers
-- (or to negative states without one), and its sorted set of chunks of deadlines by the earliest
-- deadline.
local function keys_of(generation)
  return generation .. ':alive', generation .. ':visitors', generation .. ':aways'
end

-- Returns the name of a generation's array: 'p' records, 'o' owners, 'd' deadlines.
local function array_of(generation, kind, chunk)
  return generation .. ':' .. kind .. ':' .. chunk
end
