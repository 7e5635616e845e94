-- Recovers a line that the store may have lost, in whole or in its last moments, from what one node
-- knows. What several nodes report is combined in any order: a number waits if it does for all that
-- knew it; an end that any of them knew stays; of settings and seats the newest count. Slots follow
-- with recover_slots.lua. Follows keys.lua, clock.lua and alive.lua.
-- KEYS[1] prefix of the event's keys
--   meta       read and written
--   alive      read and written
--   cleared    written
--   codes      read and written
--   mask       read and written
--   waiting    deleted if the store's numbers are those of before the draw, or of another one
--   admitted   the same
--   slots      the same
--   past       the same
--   joined     written, and the same
--   log        the same
--   drawn      the same
--   decisions  deleted if the store has lost the event
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] random identity, for the life of a store that has lost the event
-- ARGV[4] creation: identity of the event
-- ARGV[5] outcome of the draw (JSON), empty before it
-- ARGV[6] the highest number that it has seen
-- ARGV[7] offset of the bitmap in bytes
-- ARGV[8] the bitmap, up to this number
-- ARGV[9] how places ended, a byte for each number
-- ARGV[10] the shortest time of the recovery of a store that has lost the event, in ms
-- ARGV[11] its longest time in ms
-- ARGV[12] when the settings were changed (ms)
-- ARGV[13] the draw: 0 none, 1 to be held, 3 held
-- ARGV[14] the round of the beacon (JSON), empty without one
-- ARGV[15] when the seats were counted (ms, 0: never)
-- ARGV[16] when the line was last heard of, by the clock (ms)
-- ARGV[17] by how many ms its own time was behind then
-- ARGV[18] how many of the words that follow are fields of the settings and their values in turn, of
--   which the first is the seed of the draw; then those of the seats; then 12 words of counts that only
--   rise
-- Returns life: identity of the store's life. {'over'} if the recovery is over, or the event is another
-- one.
local function field(name) return tonumber(call('HGET', keys.meta, name) or nil) or 0 end
local run = string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
local clock, is_new = now, call('EXISTS', keys.meta) == 0

-- Drops the numbers that the store has, and all that it knows by them: they are others now.
local function drop_numbers()
  call('UNLINK', keys.waiting, keys.alive, keys.cleared, keys.codes, keys.admitted, keys.slots, keys.past, keys.joined,
    keys.log, keys.drawn)
  call('HSET', keys.meta, 'numbers', 0, 'admitted', 0, 'shopping', 0)
end

if is_new then
  call('UNLINK', keys.decisions)
  call('HSET', keys.meta, 'run', run, 'life', ARGV[3], 'creation', ARGV[4], 'phase', -1, 'last_batch', clock,
    'settle_from', clock + ARGV[10], 'settle_until', clock + ARGV[11], 'tellers', 1)
end
if call('HGET', keys.meta, 'run') ~= run then return { 'lost' } end
if call('HGET', keys.meta, 'creation') ~= ARGV[4] or field('settle_until') == 0 then return { 'over' } end
local seats, totals = 19 + ARGV[18], #ARGV - 11
local seed = call('HGET', keys.meta, 'seed')
if tonumber(ARGV[12]) > field('changed_at') then
  if seed and seed ~= ARGV[20] then
    -- The organiser made another draw of the one that the store knows, while no visitor was in line.
    drop_numbers()
    call('HSET', keys.meta, 'draw', 0, 'drawn', '', 'beacon', '', 'has_beacon', 0, 'draw_last', 0)
  end
  seed = ARGV[20]
  call('HSET', keys.meta, 'changed_at', ARGV[12], unpack(ARGV, 19, seats - 1))
  if field('draw') ~= 3 then call('HSET', keys.meta, 'draw', math.min(1, ARGV[13])) end
end
-- Reports about any draw but that of the newest settings do not count.
local is_current = seed == ARGV[20]
if tonumber(ARGV[15]) > field('seats_at') then
  call('HSET', keys.meta, 'seats_at', ARGV[15], unpack(ARGV, seats, totals - 1))
end
if is_current and ARGV[14] ~= '' and field('has_beacon') == 0 then
  call('HSET', keys.meta, 'beacon', ARGV[14], 'has_beacon', 1)
end
for i = totals, #ARGV, 2 do
  local name, count = ARGV[i], ARGV[i + 1]
  local counts = is_current or name ~= 'draw_last'
  if counts and tonumber(count) > field(name) then call('HSET', keys.meta, name, count) end
end
-- The line's own time goes on from the latest that any node knew, so that deadlines stay those that
-- visitors were told; that of the recovery moves along. A store of before the first visitor knows none.
local known = clock - unheard_since(tonumber(ARGV[16]), tonumber(ARGV[17]))
now = clock - unheard_since(field('heard_at'), field('unheard'))
if field('heard_at') == 0 or known > now then
  call('HSET', keys.meta, 'heard_at', clock, 'unheard', clock - known)
  for _, name in ipairs({ 'settle_from', 'settle_until' }) do
    call('HSET', keys.meta, name, field(name) + known - now)
  end
  now = known
end
local drawn = call('HGET', keys.meta, 'drawn') or ''
if drawn == '' and ARGV[5] ~= '' and is_current then
  -- The store has lost the draw: all that it has is by the order of arrival. Fans return to the
  -- numbers that they drew.
  drawn = ARGV[5]
  drop_numbers()
  call('HSET', keys.meta, 'drawn', drawn, 'draw', 3)
end
local life = call('HGET', keys.meta, 'life')
if drawn ~= ARGV[5] or not is_current then return { 'ok', 'life', life } end
local given, numbers, head, bitmap = field('numbers'), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local top = math.max(given, numbers, #ARGV[9])
if top > given then
  set_alive(keys.alive, given + 1, top)
  -- When these joined is not known.
  call('ZADD', keys.joined, top, '?')
end
if numbers > 0 then
  -- The node's bitmap up to its last number, and ones for those after it.
  local whole, rest = math.floor(numbers / 8), numbers % 8
  local mask = string.rep('\0', head) .. bitmap
  mask = mask .. string.rep('\0', whole + 1 - #mask)
  local last = bit.bor(string.byte(mask, whole + 1), bit.rshift(255, rest))
  mask = string.sub(mask, 1, whole) .. string.char(last)
  call('SET', keys.mask, mask .. string.rep('\255', math.ceil(top / 8) - #mask))
  call('BITOP', 'AND', keys.mask, keys.mask, keys.alive)
  call('BITOP', 'XOR', keys.alive, keys.alive, keys.mask)
  call('BITOP', 'OR', keys.cleared, keys.cleared, keys.alive)
  call('RENAME', keys.mask, keys.alive)
end
if ARGV[9] ~= '' and call('EXISTS', keys.codes) == 0 then
  -- BITOP with a key that does not exist goes byte by byte, of which there may be millions.
  call('SET', keys.codes, ARGV[9])
elseif ARGV[9] ~= '' then
  call('SET', keys.mask, ARGV[9])
  call('BITOP', 'OR', keys.codes, keys.codes, keys.mask)
  call('DEL', keys.mask)
end
-- Numbers that were given out after its bitmap, and whose end it has acknowledged since.
for n = numbers + 1, #ARGV[9] do
  if string.byte(ARGV[9], n) > 0 then
    call('SETBIT', keys.alive, n - 1, 0)
    call('SETBIT', keys.cleared, n - 1, 1)
  end
end
call('HSET', keys.meta, 'numbers', top, 'known', top, 'head', 0, 'waiting', call('BITCOUNT', keys.alive), 'swept', 0,
  'return_by', now + field('away_ms'), 'return_chunk', 0)
return { 'ok', 'life', life }
