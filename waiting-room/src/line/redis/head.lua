-- Common beginning of most scripts, after keys.lua and clock.lua: reads the state of one event's
-- line. A script returns only {'gone'} if the store has no such event, and only {'lost'} if a
-- different server answers than before (unless it is tick.lua). The names of fields and keys that
-- are stored ('gen' is the generation of the keys) stay as they are, so that a line goes on with
-- another version of this program. A reply is a list: 'ok', then names and values in turn, which
-- reply.rs reads by name. It is built as a list and not from a table, which takes a fifth longer
-- where there is one for each visitor.
local FIELDS = { 'epoch', 'gen', 'step', 'revision', 'numbers', 'known', 'waiting', 'admitted', 'shopping', 'connected',
  'head', 'last_batch', 'credit', 'owed', 'ghosts', 'ghosts_until', 'settle_until', 'return_by', 'return_chunk', 'phase',
  't_joined', 't_admitted', 't_finished', 't_missed', 't_left', 'capacity', 'available', 'held', 'seats_at', 'rate',
  'batch_ms', 'max_active', 'claim_ms', 'session_ms', 'away_ms', 'line_at', 'sale_at', 'closes_at', 'paused', 'draw',
  'needs_beacon', 'has_beacon' }
local m = {}
local run = string.match(call('INFO', 'server'), 'run_id:(%x+)')
local got = call('HMGET', meta, 'run', unpack(FIELDS))
if not got[2] then return { 'gone' } end
for i, field in ipairs(FIELDS) do m[field] = tonumber(got[i + 1]) or 0 end
local is_lost = got[1] ~= run
local generation = generation_of(m.gen)
local alive, visitors, aways = keys_of(generation)
local WAITING, ADMITTED, SHOPPING, FINISHED, MISSED, LEFT, EJECTED = 0, 1, 2, 3, 4, 5, 6
local CHUNK, RECORD, NODE_MS, SETTLE_MS = 512, 23, 10000, 5000

local function save(...)
  local pairs_ = {}
  for _, field in ipairs({ ... }) do
    pairs_[#pairs_ + 1] = field
    pairs_[#pairs_ + 1] = m[field]
  end
  call('HSET', meta, unpack(pairs_))
end
if is_lost and not IS_TICK then return { 'lost' } end
