-- Common beginning of most scripts, after keys.lua and clock.lua: reads the state of one event's
-- line. A script returns only {'gone'} if the store has no such event, and only {'lost'} if the
-- server has another replication id than before, as after every restart and failover (unless it is
-- tick.lua). A reply is a list: 'ok', then names and values in turn, which reply.rs reads by name.
-- It is built as a list and not from a table, which takes a fifth longer where there is one for
-- each visitor.
-- From here on `now` is the line's own time, by which places, slots and nodes lapse, and `clock` the
-- clock's, by which it opens and batches are due. `by_clock` converts what a reply tells.
--   meta  read
local FIELDS = { 'revision', 'changes', 'numbers', 'known', 'waiting', 'admitted', 'shopping', 'connected', 'head',
  'last_batch', 'credit', 'owed', 'settle_from', 'settle_until', 'tellers', 'swept', 'return_by', 'return_chunk', 'registered', 'phase',
  't_joined', 't_admitted', 't_finished', 't_missed', 't_left', 'capacity', 'available', 'held', 'seats_at', 'rate',
  'batch_ms', 'max_active', 'claim_ms', 'session_ms', 'away_ms', 'line_at', 'sale_at', 'closes_at', 'paused', 'draw',
  'needs_beacon', 'has_beacon', 'draw_last', 'changed_at', 'heard_at', 'unheard', 'decided' }
local WAITING, ADMITTED, SHOPPING, FINISHED, MISSED, LEFT, EJECTED = 0, 1, 2, 3, 4, 5, 6
local NAMES = { [0] = 'waiting', 'admitted', 'shopping', 'finished', 'missed', 'left', 'ejected' }
local CHUNK, NODE_MS, IDLE_MS, CHANGES_KEPT = 512, 10000, 600000, 10000
-- Number of visitors that one step of a tick admits or ends, so that no step takes over 5 ms.
local STEP = 50
-- The shortest and the longest time of a recovery. Within the first, nodes are heard that no other
-- node knows of yet. And the time after an outage or a draw within which nodes tell who asked in vain.
-- And the time after a loss for which a draw waits for fans to come back: longer than between two polls.
local SETTLE_MS_MIN, SETTLE_MS, HEED_MS, RETURN_MS = 3000, 5000, 3000, 30000
local run = string.match(call('INFO', 'replication'), 'master_replid:(%x+)')
local got = call('HMGET', keys.meta, 'run', 'life', 'creation', unpack(FIELDS))
if not got[3] then return { 'gone' } end
local is_lost = got[1] ~= run
if is_lost and not IS_TICK then return { 'lost' } end
local m, stored = { life = got[2], creation = got[3] }, {}
for i, field in ipairs(FIELDS) do
  m[field] = tonumber(got[i + 3]) or 0
  stored[field] = m[field]
end

local clock, unheard = now, unheard_since(m.heard_at, m.unheard)
now = clock - unheard

local function by_clock(line_time)
  return line_time + unheard
end
