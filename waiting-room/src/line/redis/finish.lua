-- Ends the slots of visitors who are done shopping; others are left alone.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitor (16 bytes) and number in turn, at most 125 of each
-- Returns units: 1 for each. {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local answers = {}
for i = 3, #ARGV, 2 do
  local visitor, n = ARGV[i], tonumber(ARGV[i + 1])
  if n > 0 and n <= m.numbers then
    local record_ = record(n)
    local whose, code = string.sub(record_, 1, 16), string.byte(record_, RECORD) or 0
    if call('HEXISTS', slots, n) == 1 then
      if whose == visitor then settle(n, FINISHED, 't_finished') end
    elseif m.ghosts > 0 and n <= m.known and code == 0 and call('GETBIT', alive, n - 1) == 0 then
      -- Admitted in an earlier epoch, whose data the store has lost.
      end_as(n, FINISHED)
      m.ghosts = m.ghosts - 1
    end
  end
  answers[#answers + 1] = 1
end
save_counts()
return { 'ok', 'units', answers }
