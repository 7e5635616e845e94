-- Gives visitors a place in the order given.
-- KEYS[1] prefix of the event's keys
--   waiting    written
--   alive      written
--   deadlines  written
--   aways      written
--   joined     written
--   ended      written
-- and those of head.lua, save.lua, numbers.lua, places.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 500
-- Returns phase; is_undrawn (1: the numbers are still to be drawn); ahead, the visitors ahead of
-- the first new one; numbers, given out before; units: for each the new number, the place they
-- already had, 'refused' (because of the phase) or 'full'. {'busy'} during a draw or recovery.
if m.settle_until > 0 or m.draw == 2 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local found, first, stage = look_up(asked), m.numbers + 1, phase()
local is_open, is_undrawn = stage >= 1 and stage <= 3, m.draw == 1 and 1 or 0
local waiting, given_out = m.waiting, m.numbers
local answers, fresh, seen, back = {}, {}, {}, {}
fix_entries(stage)
-- The line may have 4,000,000 visitors at one time, and give out 40,000,000 numbers.
local last = math.min(m.numbers + 4000000 - m.waiting - m.admitted - m.shopping, 40000000)
for i, visitor in ipairs(asked) do
  local place, state, n
  if seen[visitor] then
    n, state = seen[visitor], nil
    place = { 'number', n, 'state', WAITING, 'ahead', waiting + n - first, 'is_provisional', is_undrawn }
  else
    place, state, n = place_of(found, i, #asked <= 8)
  end
  if place and (not state or state < FINISHED or state == EJECTED) then
    if state == WAITING then set_deadline(n, now + m.away_ms) end
    answers[i] = place
  elseif not is_open then
    answers[i] = 'refused'
  elseif m.numbers >= last then
    answers[i] = 'full'
  else
    m.numbers = m.numbers + 1
    seen[visitor], answers[i] = m.numbers, m.numbers
    fresh[#fresh + 1], fresh[#fresh + 2] = m.numbers, visitor
    if place then back[#back + 1] = visitor end
  end
end
if m.numbers > given_out then
  -- While no visitor is here, ticks do not keep when they were: the line's time goes on from now.
  if m.waiting + m.admitted + m.shopping == 0 then m.heard_at, m.unheard = clock, unheard end
  local count, deadline, chunks = m.numbers - given_out, now + m.away_ms, {}
  call('ZADD', keys.waiting, unpack(fresh))
  set_alive(keys.alive, first, m.numbers)
  call('SETRANGE', keys.deadlines, given_out * 6, string.rep(struct.pack('>I6', deadline), count))
  for chunk = math.floor(given_out / CHUNK), math.floor((m.numbers - 1) / CHUNK) do
    chunks[#chunks + 1], chunks[#chunks + 2] = deadline, chunk
  end
  call('ZADD', keys.aways, 'LT', unpack(chunks))
  call('ZADD', keys.joined, m.numbers, math.floor(clock / 1000))
  if #back > 0 then call('HDEL', keys.ended, unpack(back)) end
  m.waiting, m.t_joined = m.waiting + count, m.t_joined + count
end
save()
return { 'ok', 'phase', stage, 'is_undrawn', is_undrawn, 'ahead', waiting, 'numbers', given_out, 'units', answers }
