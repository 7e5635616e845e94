-- This node takes up the draw, unless another is at it. Returns {'ok', now (ms), the life of the keys, numbers given out,
-- seed, beacon}; {'over'} when there is nothing to draw; {'taken'} when another node gave a sign of life just now.
if m.draw ~= 2 then return { 'over' } end
local by, beat = unpack(call('HMGET', meta, 'draw_by', 'draw_beat'))
if by and by ~= ARGV[2] and now - tonumber(beat) < 3000 then return { 'taken' } end
call('HSET', meta, 'draw_by', ARGV[2], 'draw_beat', now)
return { 'ok', now, m.gen, m.numbers, call('HGET', meta, 'seed') or '', call('HGET', meta, 'beacon') or '' }
