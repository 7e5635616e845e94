-- Takes part of the order that a node has drawn, after recover.lua: the places of fans who were not
-- told their numbers yet, and the published list.
-- KEYS[1] prefix of the event's keys
--   meta     read
--   waiting  read and written
--   ended    written
--   past     read
--   drawn    read and written
-- and those of head.lua, save.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] outcome of the draw (JSON)
-- ARGV[4] the chunk, of 512 numbers
-- ARGV[5] how many of its visitors were drawn; the others came later
-- ARGV[6…] its visitors, by their numbers
-- Returns nothing but {'ok'}; {'over'} if the recovery is over, or the draw is another one.
if m.settle_until == 0 or call('HGET', keys.meta, 'drawn') ~= ARGV[3] then return { 'over' } end
local chunk, drawn = tonumber(ARGV[4]), tonumber(ARGV[5])
-- The store has not lost it, or has it by a report that was sent before.
if call('HEXISTS', keys.drawn, chunk) == 1 then return { 'ok' } end
local visitors, numbers, taken = { unpack(ARGV, 6) }, {}, {}
for i = 1, #visitors do numbers[i] = chunk * CHUNK + i end
-- All at once, as there are many.
local scored = call('ZRANGEBYSCORE', keys.waiting, numbers[1], numbers[#numbers], 'WITHSCORES')
for i = 2, #scored, 2 do taken[tonumber(scored[i])] = true end
for i, holder in pairs(fields_of(keys.past, numbers)) do taken[numbers[i]] = taken[numbers[i]] or holder end
local found, waiting, back = look_up(visitors), {}, {}
for i, visitor in ipairs(visitors) do
  local n = numbers[i]
  local _, state, number = place_of(found, i, false)
  if not taken[n] and state ~= EJECTED and may_take(n, state, number) then
    if is_waiting(n) then
      waiting[#waiting + 1], waiting[#waiting + 2] = n, visitor
      if state then back[#back + 1] = visitor end
    elseif end_of(n) then
      record_end(n, visitor, end_of(n))
    end
  end
end
if #waiting > 0 then call('ZADD', keys.waiting, unpack(waiting)) end
if #back > 0 then call('HDEL', keys.ended, unpack(back)) end
if drawn > 0 then call('HSET', keys.drawn, chunk, table.concat(ARGV, ' ', 6, 5 + drawn)) end
save()
return { 'ok' }
