-- Stores new settings if they were not changed since they were read.
-- KEYS[1] prefix of the event's keys
--   meta  read and written
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the settings as read (JSON)
-- ARGV[4] the new settings (JSON)
-- ARGV[5] 1: the order of admission and the draw stay the same
-- ARGV[6…] fields of the policy and their values in turn
-- Returns changed_at (ms). {'busy'} if the settings had changed, or during a draw or recovery, or
-- if the order changes while visitors are in line.
if m.settle_until > 0 or m.draw == 2 or call('HGET', keys.meta, 'settings') ~= ARGV[3] then return { 'busy' } end
if ARGV[5] == '0' and m.numbers > 0 then return { 'busy' } end
-- Of what nodes report after a loss of data, the settings that were changed last count.
local changed_at = math.max(clock, m.changed_at + 1)
call('HSET', keys.meta, 'revision', m.revision + 1, 'changed_at', changed_at, 'settings', ARGV[4], unpack(ARGV, 6))
return { 'ok', 'changed_at', changed_at }
