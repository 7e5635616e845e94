-- Shared by scripts that give out numbers: writes consecutive places into the arrays with a few
-- calls per chunk. `tail` follows the visitor in a record: joining time (6 bytes, ms) and final
-- state (1 byte, 0: none yet).
local function enter(first, fresh, tail)
  local deadline, done = now + m.away_ms, 0
  while done < #fresh do
    local n = first + done
    local key, i, chunk = at('p', n)
    local count = math.min(#fresh - done, CHUNK - i)
    if i == 0 then call('SETRANGE', key, CHUNK * RECORD - 1, '\0') end
    call('SETRANGE', key, i * RECORD, table.concat(fresh, tail, done + 1, done + count) .. tail)
    call('SETRANGE', (at('d', n)), i * 6, string.rep(struct.pack('>I6', deadline), count))
    call('ZADD', aways, 'LT', deadline, chunk)
    done = done + count
  end
  set_alive(alive, first, first + #fresh - 1)
end
