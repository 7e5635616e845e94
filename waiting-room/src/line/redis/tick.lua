-- Ends the places that are due, admits the visitors that are due, and returns the view of the line.
-- Any number of nodes may call it, however often.
-- KEYS[1] prefix of the event's keys
--   meta       read and written
--   alive      read
--   waiting    read
--   nodes      read
--   beats      read and written
--   told       deleted when the store lost data
--   owners     the same
--   deadlines  the same
--   aways      the same
--   reaping    the same
--   log        read and written
--   in:…       read and written
-- and those of head.lua, save.lua, numbers.lua, places.lua, nodes.lua, reap.lua, lapse.lua, admit.lua,
-- sweep.lua, changes.lua
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the life of the store that the caller knows (empty: none)
-- ARGV[4] the revision whose settings it has (-1: none)
-- ARGV[5] the count of changes that it has read (-1: none)
-- ARGV[6] 1: only read, change nothing
-- ARGV[7] random identity, for a life of the store that begins
-- Returns creation, life: identities; registration of this node; now (ms); unheard (ms by which the
-- line's time is behind); room for visitors to be admitted; revision; phase; draw (0:
-- none, 1: to be held, 2: under way, 3: held); is_settling; numbers given out; waiting, admitted,
-- shopping, connected visitors; total_… since the beginning; head, the offset of the bitmap in
-- bytes; bitmap; availability (JSON), seats_at (ms); draw_last, as in fix_entries; replaced,
-- visitors whose sockets here were replaced; nodes, how many tick; changes, how many the caller has
-- read then; changed: for each of these a number, and its slot with the holder, or how it ended;
-- is_behind: the caller must read all instead. If the life or the revision is another: settings
-- (JSON), changed_at (ms), seed, beacon, drawn. {'more'} if more is due than one step may do. {'lost'} for reading only.
local is_read_only, more = ARGV[6] == '1', 0
if is_lost then
  -- Another server than before: a restart, or a failover that may have lost the last writes. No
  -- visitor is admitted and no number given out until the nodes have had time to report what they
  -- know.
  if is_read_only then return { 'lost' } end
  local lives = call('HGET', keys.meta, 'lives') or m.life .. ':0'
  if #lives > LIVES_BYTES then lives = string.gsub(lives, '^[^.]*%.', '') end
  m.life, m.settle_from, m.settle_until, m.swept = ARGV[7], now + SETTLE_MS_MIN, now + SETTLE_MS, 0
  m.tellers = math.max(1, call('HLEN', keys.nodes))
  m.revision = m.revision + 1
  -- The last openings and closes of sockets, and the last polls, may be among the lost writes. Nodes
  -- record all sockets again; everyone else has away_seconds for the next sign of life.
  m.known, m.connected, m.return_by, m.return_chunk = m.numbers, 0, now + m.away_ms, 0
  call('UNLINK', keys.told, keys.owners, keys.deadlines, keys.aways, keys.reaping)
  -- A draw that was under way is held anew: whoever still holds it may have read what is lost.
  if m.draw == 2 then m.draw = 1 end
  call('HDEL', keys.meta, 'draw_by')
  -- The last batch may be among the lost writes: the next one is due a full span from now.
  m.last_batch, m.owed = clock, 0
  lives = lives .. '.' .. m.life .. ':' .. m.decided
  call('HSET', keys.meta, 'run', run, 'life', m.life, 'lives', lives)
end

-- Returns whether all who waited before a loss of data have come back, or had the time to.
local function have_returned()
  if m.return_by == 0 or now >= m.return_by - m.away_ms + RETURN_MS then return true end
  return call('ZCARD', keys.waiting) >= m.waiting
end

local index, registration, stage = 0, 0, phase()
if not is_read_only then
  -- While no visitor is in line, nodes hold no sockets that matter, and a sign of life lasts for ten
  -- minutes: an idle line writes next to nothing.
  local kept = tonumber(call('ZSCORE', keys.beats, ARGV[2]) or nil) or 0
  local is_idle = m.waiting + m.admitted + m.shopping == 0
  local beat = is_idle and now + IDLE_MS or now
  if kept < now or not is_idle then
    index, registration = node_index()
    call('ZADD', keys.beats, beat, ARGV[2])
  else
    index, registration = known_index()
  end
  if index == 0 then return { 'busy' } end
  -- Once a second is enough, and where no visitor is, no time has to pass. A store of before the first
  -- visitor learns the line's own time from the reports of a recovery.
  if (not is_idle or m.settle_until > 0 and m.heard_at > 0) and (clock < m.heard_at or clock >= m.heard_at + 1000) then
    -- Nodes tell of those who asked in vain during an outage before any of these can be missed.
    if unheard ~= m.unheard and m.return_by == 0 then m.return_by, m.return_chunk = now + HEED_MS, 0 end
    m.heard_at, m.unheard = clock, unheard
  end
  if m.settle_until > 0 then more = end_recovery() end
  if m.draw ~= 2 and m.settle_until == 0 then
    -- One kind of work per step, so that each step is short.
    if more == 0 then more = reap() end
    if more == 0 then more = lapse_slots() end
    if more == 0 and now >= m.return_by then more = lapse_away() end
    if more == 0 then more = lapse_silent() end
    fix_entries(stage)
    if m.draw == 1 and stage >= 2 and stage <= 3 and m.needs_beacon == m.has_beacon and have_returned() then
      m.draw, m.revision = 2, m.revision + 1
    end
    if more == 0 and stage == 2 and m.draw ~= 1 and m.draw ~= 2 then more = admit() end
  end
  if stage ~= m.phase then m.phase, m.revision = stage, m.revision + 1 end
  call('LTRIM', keys.log, -CHANGES_KEPT, -1)
  save()
end
if more == 1 then return { 'more' } end
local replaced = {}
for _, visitor in ipairs(index > 0 and call('LPOP', inbox(index), 1000) or {}) do
  -- Unless they have come back since.
  local n = tonumber(call('ZSCORE', keys.waiting, visitor) or nil)
  if not n or owner(n) ~= index then replaced[#replaced + 1] = visitor end
end
local view = {
  'ok',
  'creation', m.creation,
  'life', m.life,
  'registration', registration,
  'now', clock,
  'unheard', unheard,
  'room', room(),
  'revision', m.revision,
  'phase', stage,
  'draw', m.draw,
  'is_settling', m.settle_until > 0 and 1 or 0,
  'numbers', m.numbers,
  'waiting', m.waiting,
  'admitted', m.admitted,
  'shopping', m.shopping,
  'connected', m.connected,
  'total_joined', m.t_joined,
  'total_admitted', m.t_admitted,
  'total_finished', m.t_finished,
  'total_missed', m.t_missed,
  'total_left', m.t_left,
  'head', m.head,
  'bitmap', call('GETRANGE', keys.alive, m.head, -1),
  'availability', call('HGET', keys.meta, 'seats'),
  'seats_at', m.seats_at,
  'draw_last', m.draw_last,
  'replaced', replaced,
  'nodes', call('HLEN', keys.nodes),
}
local function add(name, value)
  view[#view + 1], view[#view + 2] = name, value
end
if ARGV[3] ~= m.life or tonumber(ARGV[4]) ~= m.revision then
  local names = { 'settings', 'changed_at', 'seed', 'beacon', 'drawn' }
  local kept = call('HMGET', keys.meta, unpack(names))
  for i, name in ipairs(names) do add(name, kept[i]) end
end
add_changes(add, ARGV[3] == m.life and tonumber(ARGV[5]) or -1)
return view
