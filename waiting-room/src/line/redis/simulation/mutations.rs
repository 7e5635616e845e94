//! Changes of the scripts, each of which the simulation must notice.
//!
//! Not among them: changes that show in a run of thousands alone, each of which has a test in
//! `regressions.rs` instead (`is_deaf` of `place.lua`, numbers of before a draw in `reenter.lua`, what
//! an attempt at a draw left, an order that changes while a visitor is in line, a place without a number
//! before a draw, the batch after a loss in `tick.lua`, the creation in `reenter.lua` and `recover.lua`,
//! `stop_waiting(n)` in `recover_slots.lua`, the numbers of another draw in `recover.lua`, a sign of
//! life in `draw_begin.lua`, `m.draw == 1` in `claim.lua` and `finish.lua`, `field('heard_at') == 0` in
//! `recover.lua`), or in `tests/conformance/knowledge.rs` (`is_undrawn` of `leave.lua`) and
//! `tests/conformance/rejoining.rs` (`EJECTED` in `reenter.lua`). And `end_of(n)` in
//! `recover_slots.lua`, which changes nothing that can be seen: without it a slot of a place that is over
//! is taken, and ended by `sweep.lua` before the line goes on.

use super::plan::Fault;
use simulation::Rewrite;
use std::sync::Arc;

/// A change of a script.
pub(super) struct Mutation {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// The faults in which it shows; none if it shows without.
    pub(super) faults: &'static [Fault],
    /// Whether it shows in draws alone.
    pub(super) is_draw: bool,
}

impl Mutation {
    /// Returns the change as the store makes it.
    pub(super) fn rewrite(&self) -> Rewrite {
        let (from, to) = (self.from, self.to);
        Arc::new(move |text| text.replacen(from, to, 1))
    }
}

const fn always(from: &'static str, to: &'static str) -> Mutation {
    Mutation {
        from,
        to,
        faults: &[],
        is_draw: false,
    }
}

const fn with(faults: &'static [Fault], from: &'static str, to: &'static str) -> Mutation {
    Mutation {
        from,
        to,
        faults,
        is_draw: false,
    }
}

const fn in_draws(from: &'static str, to: &'static str) -> Mutation {
    Mutation {
        from,
        to,
        faults: &[],
        is_draw: true,
    }
}

const fn in_draws_with(faults: &'static [Fault], from: &'static str, to: &'static str) -> Mutation {
    Mutation {
        faults,
        ..in_draws(from, to)
    }
}

/// Changes of the scripts of a line, by what they break: joining, admission, slots, ends, signs of
/// life, views, nodes, look-ups, recovery.
pub(super) const MUTATIONS: &[Mutation] = &[
    always(
        "    m.numbers = m.numbers + 1\n",
        "    m.numbers = m.numbers + 2\n",
    ),
    always(
        "set_alive(keys.alive, first, m.numbers)",
        "set_alive(keys.alive, first + 1, m.numbers)",
    ),
    always("  call('ZADD', keys.waiting, unpack(fresh))\n", ""),
    always(
        "m.waiting + count, m.t_joined + count",
        "m.waiting, m.t_joined + count",
    ),
    always("  due = math.min(due, room())\n", ""),
    always("seats - m.admitted - m.shopping", "seats - m.admitted"),
    always(
        "call('BITPOS', keys.alive, 1, m.head)",
        "call('BITPOS', keys.alive, 1, m.head + 1)",
    ),
    always(
        "m.credit % 60000 + m.rate * span",
        "m.credit % 60000 + 3 * m.rate * span",
    ),
    always(
        "math.min(since, math.max(m.batch_ms, math.ceil(60000 / m.rate)))",
        "since",
    ),
    always("return m.paused == 1 and 3 or 2", "return 2"),
    always(
        "  m.head = math.floor(bit_ / 8)\n",
        "  m.head = math.floor(bit_ / 8) + 1\n",
    ),
    always(
        "  if visitor then call('ZREM', keys.waiting, visitor) end\n",
        "",
    ),
    always("    m.waiting = m.waiting - 1\n", ""),
    always(
        "    if owner(n) ~= 0 then m.connected = m.connected - 1 end\n  end\n",
        "  end\n",
    ),
    always("  call('ZREM', keys.admitted, holder)\n", ""),
    always(
        "m.admitted, m.shopping = m.admitted - 1, m.shopping + 1",
        "m.shopping = m.shopping + 1",
    ),
    always("  if slot and slot.number == n or score", "  if score"),
    always(
        "local claim_by = now + m.claim_ms",
        "local claim_by = now + m.claim_ms / 2",
    ),
    always(
        "    slot.expires_at = ends_at - unheard\n    put_slot(visitor, slot)\n",
        "    slot.expires_at = ends_at - unheard\n",
    ),
    always(
        "keys.admitted, '-inf', now, 'LIMIT'",
        "keys.admitted, '-inf', now - 90000, 'LIMIT'",
    ),
    always(
        "keys.admitted, '-inf', now, 'LIMIT'",
        "keys.admitted, '-inf', now + 5000, 'LIMIT'",
    ),
    always(
        "settle(visitor, call('ZSCORE', keys.waiting, visitor), LEFT, 't_left')",
        "0",
    ),
    always("EJECTED, 't_left')", "LEFT, 't_left')"),
    always(
        "      if holder ~= 0 then m.connected = m.connected - 1 end\n",
        "",
    ),
    always(
        "    if before == 0 then m.connected = m.connected + 1 end\n",
        "",
    ),
    always(
        "local visitor = owner(n) == 0 and call(",
        "local visitor = call(",
    ),
    always(
        "  if state == WAITING and m.draw ~= 2 then set_deadline",
        "  if false then set_deadline",
    ),
    always(
        "if deadline > 0 and deadline <= now and",
        "if deadline > 0 and deadline <= now + 6000 and",
    ),
    always(
        "for bit_ = 0, (n - 1) % 8 - 1 do",
        "for bit_ = 0, (n - 1) % 8 - 2 do",
    ),
    with(
        &[Fault::StoreRestarted],
        "local is_lost = got[1] ~= run",
        "local is_lost = got[1] ~= run and not IS_TICK",
    ),
    with(
        &[Fault::NodeKilled],
        "    set_owner(n, 0)\n    if is_waiting",
        "    if is_waiting",
    ),
    always(
        "if n and n > 0 then hold(n, visitor, index, state == WAITING) end",
        "",
    ),
    always(
        "answers[i] = place_of(found, i, #asked <= 8) or '' end",
        "answers[i] = '' end",
    ),
    always(
        "local visitor = visitor_of(n)\n    local place",
        "local visitor = visitor_of(n + 1)\n    local place",
    ),
    always("(numbers[i] or slots[i])", "numbers[i]"),
    always("'available', ARGV[5]", "'available', ARGV[4]"),
    always("math.min(seats, m.available)", "seats"),
    with(
        &[Fault::ClockForward],
        "math.abs(clock - m.seats_at) > 30000 and 0",
        "false and 0",
    ),
    with(
        &[Fault::NodeKilled],
        "set_deadline(n, math.max(deadline_of(n), beat + m.away_ms))",
        "set_deadline(n, now)",
    ),
    with(
        &[Fault::NodeCutOff],
        "  m.registered = m.registered + 1\n",
        "",
    ),
    with(
        &[Fault::StoreRestarted],
        "ended < STEP and owner(n) == 0 and is_waiting(n)",
        "ended < STEP and is_waiting(n)",
    ),
    with(
        &[Fault::StoreFlushed],
        "  call('BITOP', 'AND', keys.mask, keys.mask, keys.alive)\n",
        "",
    ),
    with(
        &[Fault::StoreFlushed],
        "  set_alive(keys.alive, given + 1, top)\n",
        "",
    ),
    with(
        &[Fault::StoreFlushed],
        "'numbers', top, 'known', top",
        "'numbers', given, 'known', top",
    ),
    with(
        &[Fault::StoreRolledBack],
        "  if sweep() == 1 then return 1 end\n",
        "",
    ),
    with(
        &[Fault::StoreFlushed],
        "  if now < m.settle_until and not is_complete then return 0 end\n",
        "",
    ),
    with(
        &[Fault::StoreFlushed],
        "return (not state or state >= FINISHED) and n > (number or 0)",
        "return false",
    ),
    with(
        &[Fault::EventCreatedAgain],
        "for _, key in pairs(keys) do call('UNLINK', key) end",
        "call('UNLINK', keys.meta)",
    ),
    with(
        &[Fault::StoreFlushed],
        "      kept.expires_at = slot.expires_at\n      put_slot(holder, kept)\n",
        "",
    ),
    // The log of decisions.
    always(
        "    if visitor then decide_admitted(n, visitor, seconds, now, claim_by) end\n",
        "",
    ),
    always(
        "decide_end(n, holder, slot.state == SHOPPING, state)",
        "decide_end(n, holder, false, state)",
    ),
    always("m.decided = m.decided + 1", "m.decided = m.decided + 2"),
    with(
        &[Fault::StoreRolledBack],
        "began[i + 1] or math.huge",
        "math.huge",
    ),
];

/// Changes of the scripts that show in draws.
pub(super) const MUTATIONS_OF_DRAWS: &[Mutation] = &[
    in_draws("m.needs_beacon == m.has_beacon and", "true and"),
    in_draws_with(
        &[Fault::StoreFlushed],
        "m.has_beacon and have_returned() then",
        "m.has_beacon then",
    ),
    in_draws("'has_beacon', 1, 'revision'", "'revision'"),
    in_draws(
        "stage == 2 and m.draw ~= 1 and m.draw ~= 2 then",
        "stage == 2 then",
    ),
    in_draws("    fix_entries(stage)\n    if m.draw", "    if m.draw"),
    in_draws("\nfix_entries(stage)\n", "\n"),
    in_draws(
        "m.draw_last = 0 elseif m.draw_last == 0 then",
        "m.draw_last = 0 else",
    ),
    in_draws("'last', m.draw_last - 1", "'last', m.draw_last"),
    in_draws(
        "if m.draw == 1 or m.draw == 2 then place[",
        "if m.draw == 1 then place[",
    ),
    in_draws(
        "if undrawn ~= '' and call('HGET', keys.past, n)",
        "if false and call('HGET', keys.past, n)",
    ),
    in_draws("stage <= 3, m.draw == 1 and 1 or 0", "stage <= 3, 0"),
    in_draws(" .. (m.draw == 1 and ' undrawn' or '')", ""),
    in_draws(
        "if m.settle_until > 0 or m.draw == 2 then return { 'busy' } end\nlocal asked",
        "if m.settle_until > 0 then return { 'busy' } end\nlocal asked",
    ),
    in_draws(
        "if m.draw == 2 or m.settle_until > 0 then return { 'busy' } end\nlocal answers = {}\nfor i = 3, #ARGV do\n  local visitor = ARGV[i]\n  local n = settle(visitor, call('ZSCORE', keys.waiting, visitor), LEFT",
        "if m.settle_until > 0 then return { 'busy' } end\nlocal answers = {}\nfor i = 3, #ARGV do\n  local visitor = ARGV[i]\n  local n = settle(visitor, call('ZSCORE', keys.waiting, visitor), LEFT",
    ),
    in_draws(
        "if state == WAITING and m.draw ~= 2 then",
        "if state == WAITING then",
    ),
    in_draws("chunk * CHUNK + i - 9", "chunk * CHUNK + i - 8"),
    in_draws("' ', 10, 9 + drawn)", "' ', 10)"),
    in_draws(
        "call('SETRANGE', drawing('alive'), chunk * CHUNK / 8, ARGV[7])\n",
        "",
    ),
    in_draws(
        "call('SETRANGE', drawing('owners'), chunk * CHUNK * 2, ARGV[5])\n",
        "",
    ),
    in_draws(
        "call('SETRANGE', drawing('deadlines'), chunk * CHUNK * 6, ARGV[6])\n",
        "",
    ),
    in_draws(
        "if ARGV[8] ~= '0' then call('ZADD', drawing('aways'), ARGV[8], chunk) end\n",
        "",
    ),
    in_draws("m.head = 3, count, count,", "m.head = 3, m.numbers, count,"),
    in_draws(
        "m.revision = m.changes + 1, m.revision + 1\n-- Nodes",
        "m.revision = m.changes + 1, m.revision\n-- Nodes",
    ),
    in_draws(
        "keys.drawn, keys.past, keys.codes",
        "keys.drawn, keys.codes",
    ),
    in_draws_with(
        &[Fault::StoreFlushed],
        "keys.drawn, keys.past, keys.codes",
        "keys.drawn, keys.past",
    ),
    in_draws_with(
        &[Fault::StoreFlushed],
        "if drawn == '' and ARGV[5] ~= '' and is_current then",
        "if false then",
    ),
    in_draws_with(
        &[Fault::NodeKilled],
        "now - kept[2] < 10000",
        "now - kept[2] < 900000",
    ),
    in_draws_with(
        &[Fault::StoreFlushed],
        "if #waiting > 0 then call('ZADD', keys.waiting, unpack(waiting)) end\n",
        "",
    ),
];
