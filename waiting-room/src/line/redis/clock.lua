-- Shared by all scripts: the time.
-- ARGV[1] now in ms (0: the store's clock)
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Returns by how many ms the line's own time is behind the clock's, from when the line was last
-- ticked by the clock and by how much it was behind then. A gap between two ticks of over 5 s, or a
-- clock that was set back, does not count, because no fan could be heard (hearing.rs does the same).
local function unheard_since(heard_at, unheard)
  local gap = now - heard_at
  return heard_at > 0 and (gap < 0 or gap > 5000) and unheard + gap or unheard
end
