-- Takes part of the order that a node has drawn, after recover.lua: the places of fans who were not
-- told their numbers yet, and the published list.
-- KEYS[1] prefix of the event's keys
--   meta     read
--   waiting  read and written
--   ended    written
--   drawn    written
-- and those of head.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] outcome of the draw (JSON)
-- ARGV[4] the chunk, of 512 numbers
-- ARGV[5] how many of its visitors were drawn; the others came later
-- ARGV[6…] its visitors, by their numbers
-- Returns nothing but {'ok'}; {'over'} if the recovery is over, or the draw is another one.
if m.settle_until == 0 or call('HGET', keys.meta, 'drawn') ~= ARGV[3] then return { 'over' } end
local chunk, drawn = tonumber(ARGV[4]), tonumber(ARGV[5])
for i = 6, #ARGV do
  local n, visitor = chunk * CHUNK + i - 5, ARGV[i]
  local _, state, number = place_of(look_up({ visitor }), 1, false)
  -- A visitor who joined again has several numbers, of which the newest counts.
  local is_over = not state or state >= FINISHED and state ~= EJECTED and number < n
  if is_over and not visitor_of(n) and is_waiting(n) then
    call('HDEL', keys.ended, visitor)
    call('ZADD', keys.waiting, n, visitor)
  elseif is_over and not visitor_of(n) and end_of(n) then
    record_end(n, visitor, end_of(n))
  end
end
if drawn > 0 then call('HSETNX', keys.drawn, chunk, table.concat(ARGV, ' ', 6, 5 + drawn)) end
save()
return { 'ok' }
