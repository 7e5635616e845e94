-- Tells who still has a place. Changes nothing.
-- KEYS[1] prefix of the event's keys
--   waiting  read
--   slots    read
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns units: for each 1 if they wait, are admitted or are shopping, else 0. {'busy'} during a
-- recovery.
if m.settle_until > 0 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local numbers = call('ZMSCORE', keys.waiting, unpack(asked))
local slots = call('HMGET', keys.slots, unpack(asked))
local answers = {}
for i = 1, #asked do answers[i] = (numbers[i] or slots[i]) and 1 or 0 end
return { 'ok', 'units', answers }
