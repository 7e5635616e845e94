-- Starts the draw at this node unless another is holding it.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- Returns now (ms), generation of the keys, numbers given out, seed (hex), beacon (JSON, empty
-- without one). {'over'} if there is nothing to draw. {'taken'} if another node holding it showed a
-- sign of life within 3 s.
if m.draw ~= 2 then return { 'over' } end
local by, beat = unpack(call('HMGET', meta, 'draw_by', 'draw_beat'))
if by and by ~= ARGV[2] and now - tonumber(beat) < 3000 then return { 'taken' } end
call('HSET', meta, 'draw_by', ARGV[2], 'draw_beat', now)
local kept = call('HMGET', meta, 'seed', 'beacon')
return { 'ok', 'now', now, 'generation', m.gen, 'numbers', m.numbers, 'seed', kept[1], 'beacon', kept[2] }
