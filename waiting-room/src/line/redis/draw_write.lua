-- Writes part of the drawn order into the next key generation.
-- ARGV[3] the chunk, -1: visitors who lost their number; [4] its records, [5] its node indexes, [6] its deadlines,
--   [7] its bits, [8] the earliest deadline (ms, 0: none); [9…] visitor and number in turn, at most 512 of each.
-- Returns {'ok'}; {'over'} if this node lost the draw to another.
if m.draw ~= 2 or call('HGET', meta, 'draw_by') ~= ARGV[2] then return { 'over' } end
local next_, chunk = base .. ':' .. (m.gen + 1), tonumber(ARGV[3])
if chunk >= 0 then
  call('SET', next_ .. ':p:' .. chunk, ARGV[4])
  call('SET', next_ .. ':o:' .. chunk, ARGV[5])
  call('SET', next_ .. ':d:' .. chunk, ARGV[6])
  call('SETRANGE', next_ .. ':alive', chunk * 64, ARGV[7])
  if ARGV[8] ~= '0' then call('ZADD', next_ .. ':aways', ARGV[8], chunk) end
end
if #ARGV >= 10 then call('HSET', next_ .. ':visitors', unpack(ARGV, 9)) end
call('HSET', meta, 'draw_beat', now)
return { 'ok' }
