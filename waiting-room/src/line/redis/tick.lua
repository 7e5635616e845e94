-- Ends the places that are due, admits the visitors that are due, and returns the view of the line. Any number of
-- nodes may call it, however often.
-- ARGV[3] the revision whose settings the caller has (-1: none), [4] 1: only read, change nothing.
-- Returns {'more'} if more is due than one step may do, else the view in the order that cache.rs reads it.
local is_look, more = ARGV[4] == '1', 0
if is_lost and not is_look then
  -- A different server than before: a restart, or a failover that may have lost the last writes. No visitor is
  -- admitted and no number given out until the nodes have had time to report their state.
  m.epoch, m.settle_until, m.revision = m.epoch + 1, now + SETTLE_MS, m.revision + 1
  -- The last batch may be among the lost writes: the next one is due a full span from now.
  m.last_batch, m.owed = now, 0
  call('HSET', meta, 'run', run, 'settled', m.revision - 1, 'told_step', m.step, 'tellers', call('HLEN', base .. ':nodes'))
  call('DEL', base .. ':told')
  save('epoch', 'settle_until', 'revision')
end
local index, is_new, stage, is_settling = 0, false, phase(), now < m.settle_until
if not is_look then
  index, is_new = node_index()
  call('ZADD', base .. ':beats', now, ARGV[2])
  m.step = m.step + 1
  if m.draw ~= 2 and not is_settling then
    -- One kind of work per step, so that each step is short.
    more = reap()
    if more == 0 then more = lapse_slots() end
    if more == 0 then more = lapse_away() end
    if more == 0 then lapse_unreturned() end
    if m.draw == 1 and stage >= 2 and stage <= 3 and m.needs_beacon == m.has_beacon then
      m.draw, m.revision = 2, m.revision + 1
    end
    if more == 0 and stage == 2 and m.draw ~= 1 and m.draw ~= 2 then more = admit() end
  end
  if stage ~= m.phase then m.phase, m.revision = stage, m.revision + 1 end
  save('step', 'revision', 'phase', 'draw', 'head', 'last_batch', 'credit', 'owed', 'return_by', 'return_chunk')
  save_counts()
end
if more == 1 then return { 'more' } end
local replaced = index > 0 and call('LPOP', base .. ':in:' .. index, 1000) or {}
local settings, once = false, {}
if tonumber(ARGV[3]) ~= m.revision then
  settings = call('HGET', meta, 'settings')
  once = call('HMGET', meta, 'born', 'seed', 'beacon', 'drawn')
end
return { 'ok', is_new and 1 or 0, now, m.epoch, m.step, m.revision, stage, m.draw, m.numbers, m.known, m.waiting,
  m.admitted, m.shopping, m.connected, { m.t_joined, m.t_admitted, m.t_finished, m.t_missed, m.t_left }, m.head,
  call('GETRANGE', alive, m.head, -1), call('HGET', meta, 'seats'), settings, once, replaced, m.gen,
  call('HLEN', base .. ':nodes') }
