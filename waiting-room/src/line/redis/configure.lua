-- Stores new settings if they were not changed since they were read.
-- KEYS[1] prefix of the event's keys
--   meta  read and written
-- and those of head.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the settings as read (JSON)
-- ARGV[4] the new settings (JSON)
-- ARGV[5] 1: the order of admission and the beacon stay the same
-- ARGV[6] 1: the visitors in line are drawn when the sale opens
-- ARGV[7] seed, for a draw that is another one from now on
-- ARGV[8…] fields of the policy and their values in turn
-- Returns changed_at (ms), draw, seed, beacon (JSON), drawn (JSON). {'busy'} if the settings had changed,
-- or during a draw or recovery, or if the order or the beacon changes while visitors are in line.
local settings, seed, beacon, drawn = unpack(call('HMGET', keys.meta, 'settings', 'seed', 'beacon', 'drawn'))
if m.settle_until > 0 or m.draw == 2 or settings ~= ARGV[3] then return { 'busy' } end
local is_another = ARGV[5] == '0'
if is_another and m.numbers > 0 then return { 'busy' } end
-- Of what nodes report after a loss of data, the settings that were changed last count.
local changed_at = math.max(clock, m.changed_at + 1)
call('HSET', keys.meta, 'revision', m.revision + 1, 'changed_at', changed_at, 'settings', ARGV[4], unpack(ARGV, 8))
local sale_at = tonumber(call('HGET', keys.meta, 'sale_at'))
-- A draw that was held among no visitors is held again if the sale opens later. Its seed is published,
-- and whatever was known of another draw is of no use for this one.
if is_another or m.draw == 3 and m.numbers == 0 and sale_at > clock then
  m.draw, m.has_beacon, m.draw_last = tonumber(ARGV[6]), 0, 0
  seed, beacon, drawn = ARGV[7], '', ''
  call('HSET', keys.meta, 'seed', seed, 'beacon', beacon, 'drawn', drawn)
  save()
end
return { 'ok', 'changed_at', changed_at, 'draw', m.draw, 'seed', seed, 'beacon', beacon, 'drawn', drawn }
