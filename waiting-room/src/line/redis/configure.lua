-- Stores new settings if they were not changed since they were read.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the settings as read (JSON)
-- ARGV[4] the new settings (JSON)
-- ARGV[5] 1: the order of admission stays the same
-- ARGV[6…] fields of the policy and their values in turn
-- Returns nothing but {'ok'}. {'busy'} if the settings had changed or a draw is under way, or if
-- the order changes while visitors are in line.
if call('HGET', meta, 'settings') ~= ARGV[3] or m.draw == 2 then return { 'busy' } end
if ARGV[5] == '0' and m.numbers > 0 then return { 'busy' } end
call('HSET', meta, 'settings', ARGV[4], unpack(ARGV, 6))
call('HINCRBY', meta, 'revision', 1)
return { 'ok' }
