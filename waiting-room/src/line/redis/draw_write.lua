-- Writes part of the drawn order.
-- KEYS[1] prefix of the event's keys
--   meta    read and written
--   draw:…  written
-- and those of head.lua, draw.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] random identity of the attempt
-- ARGV[4] the chunk, of 512 numbers
-- ARGV[5] its node indexes, 2 bytes each
-- ARGV[6] its deadlines, 6 bytes each
-- ARGV[7] its bits
-- ARGV[8] the earliest deadline in ms (0: none)
-- ARGV[9] how many of its visitors were drawn; the others came later
-- ARGV[10…] its visitors, by their numbers
-- Returns nothing but {'ok'}. {'over'} if this attempt lost the draw to another.
if m.draw ~= 2 or call('HGET', keys.meta, 'draw_by') ~= ARGV[3] then return { 'over' } end
local chunk, drawn, scored = tonumber(ARGV[4]), tonumber(ARGV[9]), {}
for i = 10, #ARGV do
  scored[#scored + 1], scored[#scored + 2] = chunk * CHUNK + i - 9, ARGV[i]
end
call('ZADD', drawing('waiting'), unpack(scored))
if drawn > 0 then call('HSET', drawing('drawn'), chunk, table.concat(ARGV, ' ', 10, 9 + drawn)) end
call('SETRANGE', drawing('alive'), chunk * CHUNK / 8, ARGV[7])
call('SETRANGE', drawing('owners'), chunk * CHUNK * 2, ARGV[5])
call('SETRANGE', drawing('deadlines'), chunk * CHUNK * 6, ARGV[6])
if ARGV[8] ~= '0' then call('ZADD', drawing('aways'), ARGV[8], chunk) end
call('HSET', keys.meta, 'draw_beat', now)
return { 'ok' }
