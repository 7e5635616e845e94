-- Ends the places that are due, admits the visitors that are due, and returns the view of the line.
-- Any number of nodes may call it, however often.
-- KEYS[1] prefix of the event's keys
-- ARGV[1] now in ms (0: the store's clock)
-- ARGV[2] id of this node
-- ARGV[3] the revision whose settings the caller has (-1: none)
-- ARGV[4] 1: only read, change nothing
-- Returns is_new_node (1: this node was not known); now (ms); epoch, step, revision; phase; draw
-- (0: none, 1: to be held, 2: under way, 3: held); generation of the keys; numbers given out;
-- waiting, admitted, shopping, connected visitors; total_… since the beginning; head, the offset of
-- the bitmap in bytes; bitmap; availability (JSON); replaced, visitors whose sockets here were
-- replaced; nodes, how many tick. If the revision is another: settings (JSON), born (epoch), seed,
-- beacon, drawn. {'more'} if more is due than one step may do.
local is_read_only, more = ARGV[4] == '1', 0
if is_lost and not is_read_only then
  -- A different server than before: a restart, or a failover that may have lost the last writes. No
  -- visitor is admitted and no number given out until the nodes have had time to report their
  -- state.
  m.epoch, m.settle_until, m.revision = m.epoch + 1, now + SETTLE_MS, m.revision + 1
  -- The last batch may be among the lost writes: the next one is due a full span from now.
  m.last_batch, m.owed = now, 0
  call('HSET', meta, 'run', run, 'settled', m.revision - 1, 'told_step', m.step, 'tellers', call('HLEN', nodes))
  call('DEL', reporters)
  save('epoch', 'settle_until', 'revision')
end
local index, is_new, stage, is_settling = 0, false, phase(), now < m.settle_until
if not is_read_only then
  index, is_new = node_index()
  call('ZADD', beats, now, ARGV[2])
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
local replaced = index > 0 and call('LPOP', inbox(index), 1000) or {}
local view = {
  'ok',
  'is_new_node', is_new and 1 or 0,
  'now', now,
  'epoch', m.epoch,
  'step', m.step,
  'revision', m.revision,
  'phase', stage,
  'draw', m.draw,
  'generation', m.gen,
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
  'bitmap', call('GETRANGE', alive, m.head, -1),
  'availability', call('HGET', meta, 'seats'),
  'replaced', replaced,
  'nodes', call('HLEN', nodes),
}
if tonumber(ARGV[3]) ~= m.revision then
  local names = { 'settings', 'born', 'seed', 'beacon', 'drawn' }
  local kept = call('HMGET', meta, unpack(names))
  for i, name in ipairs(names) do
    view[#view + 1] = name
    view[#view + 1] = kept[i]
  end
end
return view
