-- Gives visitors a place in the order given.
-- ARGV[3…] visitors, 16 bytes each, at most 1,000.
-- Returns {'ok', phase, 1 if they are still to be drawn, visitors ahead of the first new one, numbers given out
--   before}, then for each visitor the new number, the spot they already had, 'refused' (because of the phase) or
--   'full'; {'busy'} during a draw or recovery.
if now < m.settle_until or m.draw == 2 then return { 'busy' } end
local asked = { unpack(ARGV, 3) }
local kept = call('HMGET', visitors, unpack(asked))
local first, next_, stage = m.numbers + 1, m.numbers + 1, phase()
local is_open = stage >= 1 and stage <= 3
local answers, fresh, names, seen = { 'ok', stage, m.draw == 1 and 1 or 0, m.waiting, m.numbers }, {}, {}, {}
for i, visitor in ipairs(asked) do
  local spot_, n
  if seen[visitor] then
    local given = seen[visitor]
    spot_ = { told(given), WAITING, 0, 0, 0, m.waiting + given - first }
  elseif kept[i] then
    spot_, n = place_of(kept[i], #asked <= 8)
  end
  if spot_ and (spot_[2] < FINISHED or spot_[2] == EJECTED) then
    if n and spot_[2] == WAITING and owner(n) == 0 then expect_life(n, now + m.away_ms) end
    answers[#answers + 1] = spot_
  elseif not is_open then
    answers[#answers + 1] = 'refused'
  elseif next_ > 4000000 then
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
return answers
