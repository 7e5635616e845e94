-- Records that sockets closed at this node: the places lapse after away_seconds unless the fans
-- reconnect or poll. A fan whose newer socket is at another node is not away.
-- KEYS[1] prefix of the event's keys
--   none but those of head.lua, save.lua, numbers.lua, places.lua, nodes.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, at most 50
-- Returns units: 1 for each. {'busy'} during a draw and during a recovery.
if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end
local asked, index = { unpack(ARGV, 3) }, node_index()
local found, answers = look_up(asked), {}
for i = 1, #asked do
  local _, state, n = place_of(found, i, false)
  local holder = n and n > 0 and owner(n)
  if holder == 0 or holder == index then
    if holder ~= 0 then set_owner(n, 0) end
    if state == WAITING then
      if holder ~= 0 then m.connected = m.connected - 1 end
      set_deadline(n, now + m.away_ms)
    end
  end
  answers[i] = 1
end
save()
return { 'ok', 'units', answers }
