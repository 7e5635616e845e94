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

-- Returns the names of the keys that a draw replaces: the next generation has the next number.
local function keys_of(generation)
  local prefix = base .. ':' .. generation
  return {
    alive = prefix .. ':alive', -- bitmap: numbers that are waiting
    visitors = prefix .. ':visitors', -- hash: visitor to number, or to a negative state without one
    aways = prefix .. ':aways', -- sorted set: chunks of deadlines by the earliest deadline
    -- Arrays: 'p' records, 'o' owners, 'd' deadlines.
    array = function(kind, chunk) return prefix .. ':' .. kind .. ':' .. chunk end,
  }
end
