-- Writes part of the drawn order into the next generation of the keys.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the chunk; -1: visitors who lost their number, and no arrays
-- ARGV[4] its records
-- ARGV[5] its node indexes
-- ARGV[6] its deadlines
-- ARGV[7] its bits
-- ARGV[8] the earliest deadline in ms (0: none)
-- ARGV[9…] visitor (16 bytes) and number in turn, at most 512 of each
-- Returns nothing but {'ok'}. {'over'} if this node lost the draw to another.
if m.draw ~= 2 or call('HGET', meta, 'draw_by') ~= ARGV[2] then return { 'over' } end
local drawn, chunk = generation_of(m.gen + 1), tonumber(ARGV[3])
local drawn_alive, drawn_visitors, drawn_aways = keys_of(drawn)
if chunk >= 0 then
  call('SET', array_of(drawn, 'p', chunk), ARGV[4])
  call('SET', array_of(drawn, 'o', chunk), ARGV[5])
  call('SET', array_of(drawn, 'd', chunk), ARGV[6])
  call('SETRANGE', drawn_alive, chunk * 64, ARGV[7])
  if ARGV[8] ~= '0' then call('ZADD', drawn_aways, ARGV[8], chunk) end
end
if #ARGV >= 10 then call('HSET', drawn_visitors, unpack(ARGV, 9)) end
call('HSET', meta, 'draw_beat', now)
return { 'ok' }
