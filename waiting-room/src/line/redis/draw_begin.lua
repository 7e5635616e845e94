-- Starts the draw by one attempt unless another is at it, or shows that this one still is: that keeps
-- the draw, but does not take it again once the store has lost data.
-- KEYS[1] prefix of the event's keys
--   meta    read and written
--   draw:…  deleted
-- and those of head.lua, draw.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] random identity of the attempt
-- ARGV[4] 1: the attempt only shows that it still is at the draw
-- Returns now (ms), numbers given out, last number that takes part, seed (hex), beacon (JSON, empty
-- without one). {'over'} if there is nothing to draw. {'taken'} if another attempt showed a sign of
-- life within 10 s, or this one no longer holds the draw.
if m.draw ~= 2 then return { 'over' } end
local kept = call('HMGET', keys.meta, 'draw_by', 'draw_beat', 'seed', 'beacon')
if kept[1] ~= ARGV[3] then
  if ARGV[4] == '1' or kept[1] and now - kept[2] < 10000 then return { 'taken' } end
  -- Leftovers of an attempt that failed.
  for _, name in ipairs(DRAWN) do call('UNLINK', drawing(name)) end
end
call('HSET', keys.meta, 'draw_by', ARGV[3], 'draw_beat', now)
return { 'ok', 'now', clock, 'numbers', m.numbers, 'last', m.draw_last - 1, 'seed', kept[3], 'beacon', kept[4] }
