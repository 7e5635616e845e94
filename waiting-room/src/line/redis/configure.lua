-- Stores new settings if they were not changed since they were read.
-- ARGV[3] the settings as read (JSON), [4] the new settings (JSON), [5] 1: the order of admission stays the same,
--   [6…] policy fields and their values.
-- Returns {'ok'}; {'busy'} if the settings had changed or a draw is under way, or if the order changes while visitors
--   are in line.
if call('HGET', meta, 'settings') ~= ARGV[3] or m.draw == 2 then return { 'busy' } end
if ARGV[5] == '0' and m.numbers > 0 then return { 'busy' } end
call('HSET', meta, 'settings', ARGV[4], unpack(ARGV, 6))
call('HINCRBY', meta, 'revision', 1)
return { 'ok' }
