-- Records that sockets closed at this node: the places lapse after away_seconds unless the fans
-- reconnect or poll. A fan whose newer socket is at another node is not away.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3…] visitors, 16 bytes each, at most 125
-- Returns units: 1 for each. {'busy'} during a draw.
if m.draw == 2 then return { 'busy' } end
local asked, index = { unpack(ARGV, 3) }, node_index()
local kept, answers = call('HMGET', visitors, unpack(asked)), {}
for i = 1, #asked do
  local n = tonumber(kept[i] or nil) or 0
  local holder = n > 0 and owner(n) or 0
  if n > 0 and (holder == 0 or holder == index) then
    local key, j = at('o', n)
    if holder ~= 0 then call('SETRANGE', key, j, '\0') end
    if call('GETBIT', alive, n - 1) == 1 then
      if holder ~= 0 then m.connected = m.connected - 1 end
      set_deadline(n, now + m.away_ms)
    end
  end
  answers[i] = 1
end
save('connected')
return { 'ok', 'units', answers }
