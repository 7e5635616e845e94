-- For the scripts that give out numbers: writes places that follow each other into the arrays, a few calls a chunk.
-- `tail` is what follows the visitor in a record: when they joined (6 bytes, ms) and how it ended (1 byte, 0: not yet).
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
