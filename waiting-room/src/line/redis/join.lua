-- Gives visitors a place in the order given.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, 16 bytes each, at most 1,000
-- Returns phase; is_undrawn (1: the numbers are still to be drawn); ahead, the visitors ahead of
-- the first new one; numbers, given out before; units: for each the new number, the place they
-- already had, 'refused' (because of the phase) or 'full'. {'busy'} during a draw or recovery.
if now < m.settle_until or m.draw == 2 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local kept = call('HMGET', visitors, unpack(asked))
local first, next_, stage = m.numbers + 1, m.numbers + 1, phase()
local is_open = stage >= 1 and stage <= 3
local is_undrawn, waiting, given_out = m.draw == 1 and 1 or 0, m.waiting, m.numbers
local answers, fresh, names, seen = {}, {}, {}, {}
-- The line may have 4,000,000 visitors at one time, and give out 40,000,000 numbers.
local last = math.min(m.numbers + 4000000 - m.waiting - m.admitted - m.shopping, 40000000)
for i, visitor in ipairs(asked) do
  local place, state, n
  if seen[visitor] then
    local given = seen[visitor]
    state = WAITING
    place = { 'number', given, 'state', state, 'ahead', m.waiting + given - first, 'is_provisional', is_undrawn }
  elseif kept[i] then
    place, state, n = place_of(kept[i], #asked <= 8)
  end
  if place and (state < FINISHED or state == EJECTED) then
    if n and state == WAITING and owner(n) == 0 then set_deadline(n, now + m.away_ms) end
    answers[#answers + 1] = place
  elseif not is_open then
    answers[#answers + 1] = 'refused'
  elseif next_ > last then
    answers[#answers + 1] = 'full'
  else
    seen[visitor] = next_
    names[#names + 1] = visitor
    names[#names + 1] = next_
    fresh[#fresh + 1] = visitor
    answers[#answers + 1] = next_
    next_ = next_ + 1
  end
end
if #fresh > 0 then
  call('HSET', visitors, unpack(names))
  enter(first, fresh, struct.pack('>I6', now) .. '\0')
  m.numbers = next_ - 1
  m.waiting = m.waiting + #fresh
  m.t_joined = m.t_joined + #fresh
  save('numbers', 'waiting', 't_joined')
end
return { 'ok', 'phase', stage, 'is_undrawn', is_undrawn, 'ahead', waiting, 'numbers', given_out, 'units', answers }
