-- Common to the scripts on a line, after head.lua: the log of decisions, and the end of a script.
--   meta       written
--   decisions  written
-- The log has one entry for all decisions of a kind that a script made. Its id is their count, so that
-- a reader notices what was trimmed; its field `life` is the life of the store in which they were made.
-- `lives` in `meta` has the newest lives, each with the count of decisions at its beginning.
local DECISIONS_KEPT, LIVES_BYTES, KINDS = 10000, 200, { 'admitted', 'missed', 'finished' }
local decided = {}

-- Adds an entry to the log: its kind with its value, and further fields and values in turn.
local function append(...)
  -- A node without logs may have removed a line of this id, and left its log.
  if m.decided == 0 then call('UNLINK', keys.decisions) end
  m.decided = m.decided + 1
  local id = m.decided .. '-0'
  call('XADD', keys.decisions, 'MAXLEN', '~', DECISIONS_KEPT, id, 'life', m.life, 'at', clock, ...)
end

-- Notes that a visitor was admitted, how many seconds after they joined (nil if that is not known), with
-- times of the line.
local function decide_admitted(n, visitor, waited, admitted_at, claim_by)
  decided.admitted = decided.admitted or {}
  local words = { n, visitor, waited or '-', by_clock(admitted_at), by_clock(claim_by) }
  table.insert(decided.admitted, table.concat(words, ' '))
end

-- Notes how the slot of a holder ended: `missed` if it was not claimed in time, else finished, left,
-- ejected, or `expired` with the session. Of a holder #n the visitor is not known.
local function decide_end(n, holder, was_shopping, state)
  if string.sub(holder, 1, 1) == '#' then return end
  local kind = state == MISSED and not was_shopping and 'missed' or 'finished'
  local how = state == MISSED and 'expired' or NAMES[state]
  decided[kind] = decided[kind] or {}
  table.insert(decided[kind], n .. ' ' .. holder .. (kind == 'finished' and ' ' .. how or ''))
end

-- Writes the decisions, and the fields that changed. Called once, at the end of a script.
local function save()
  for _, kind in ipairs(KINDS) do
    if decided[kind] then append(kind, table.concat(decided[kind], ' ')) end
  end
  local changed = {}
  for _, field in ipairs(FIELDS) do
    if m[field] ~= stored[field] then
      changed[#changed + 1] = field
      changed[#changed + 1] = m[field]
    end
  end
  if #changed > 0 then call('HSET', keys.meta, unpack(changed)) end
end
