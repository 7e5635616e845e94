-- Starts the draw at this node unless another is holding it.
-- Returns {'ok', now (ms), the key generation, numbers given out, seed, beacon}; {'over'} if there is nothing to
--   draw; {'taken'} if another node holding it showed a sign of life within 3 s.
if m.draw ~= 2 then return { 'over' } end
local by, beat = unpack(call('HMGET', meta, 'draw_by', 'draw_beat'))
if by and by ~= ARGV[2] and now - tonumber(beat) < 3000 then return { 'taken' } end
call('HSET', meta, 'draw_by', ARGV[2], 'draw_beat', now)
return { 'ok', now, m.gen, m.numbers, call('HGET', meta, 'seed') or '', call('HGET', meta, 'beacon') or '' }
