-- Replaces the order of arrival by the drawn order, with later visitors behind it, in one step.
-- KEYS[1] prefix of the event's keys
--   meta       read and written
--   draw:…     renamed
--   waiting    replaced
--   alive      replaced
--   owners     replaced
--   deadlines  replaced
--   aways      replaced
--   drawn      replaced
--   joined     replaced: fans who were drawn wait since the draw
--   past       deleted
--   codes      deleted
--   log        deleted
--   reaping    begun again, as numbers are others
-- and those of head.lua, save.lua, draw.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] random identity of the attempt
-- ARGV[4] number of visitors in line, those drawn first
-- ARGV[5] how many of them are connected
-- ARGV[6] the published outcome of the draw (JSON)
-- Returns nothing but {'ok'}. {'over'} if this attempt no longer holds the draw.
if m.draw ~= 2 or call('HGET', keys.meta, 'draw_by') ~= ARGV[3] then return { 'over' } end
call('UNLINK', keys.waiting, keys.alive, keys.owners, keys.deadlines, keys.aways, keys.drawn, keys.past, keys.codes,
  keys.log, keys.joined)
for _, name in ipairs(DRAWN) do
  if call('EXISTS', drawing(name)) == 1 then call('RENAME', drawing(name), keys[name]) end
end
call('ZADD', keys.joined, ARGV[4], math.floor(clock / 1000))
local count = tonumber(ARGV[4])
m.draw, m.numbers, m.waiting, m.connected, m.head = 3, count, count, tonumber(ARGV[5]), 0
-- A visitor who waited through a loss of data without a sign of life since may have drawn any number.
m.known, m.return_chunk, m.draw_last = m.return_by ~= 0 and count or 0, 0, 0
m.changes, m.revision = m.changes + 1, m.revision + 1
-- Nodes tell of those who asked during the draw before any of these can be missed.
m.return_by = math.max(m.return_by, now + HEED_MS)
local reaping = call('HGETALL', keys.reaping)
for i = 1, #reaping, 2 do
  call('HSET', keys.reaping, reaping[i], '0 ' .. string.match(reaping[i + 1], '%d+$'))
end
call('HSET', keys.meta, 'drawn', ARGV[6])
append('drawn', ARGV[6], 'seed', call('HGET', keys.meta, 'seed'))
save()
return { 'ok' }
