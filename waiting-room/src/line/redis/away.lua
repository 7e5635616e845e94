-- Sockets closed at this node: unless the fans come back or poll, their places lapse after away_seconds. A fan whose
-- newer socket is held by another node is not away. ARGV[3…] visitors, at most 125. Returns {'ok'}.
if m.draw == 2 then return { 'busy' } end
local asked, index = { unpack(ARGV, 3) }, node_index()
local kept, answers = call('HMGET', visitors, unpack(asked)), { 'ok' }
for i = 1, #asked do
  local n = tonumber(kept[i] or nil) or 0
  local holder = n > 0 and owner(n) or 0
  if n > 0 and (holder == 0 or holder == index) then
    local key, j = at('o', n)
    if holder ~= 0 then call('SETRANGE', key, j, '\0') end
    if call('GETBIT', alive, n - 1) == 1 then
      if holder ~= 0 then m.connected = m.connected - 1 end
      expect_life(n, now + m.away_ms)
    end
  end
  answers[i + 1] = 1
end
save('connected')
return answers
