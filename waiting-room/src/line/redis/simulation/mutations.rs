//! Changes of the scripts, each of which the simulation must notice.

use super::plan::Fault;
use simulation::Rewrite;
use std::sync::Arc;

/// A change of a script.
pub(super) struct Mutation {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// The fault in which it shows; none if it shows without.
    pub(super) fault: Option<Fault>,
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
        fault: None,
    }
}

const fn with(fault: Fault, from: &'static str, to: &'static str) -> Mutation {
    Mutation {
        from,
        to,
        fault: Some(fault),
    }
}

/// All of them, by what they break: joining, admission, slots, ends, signs of life, views, nodes.
pub(super) const MUTATIONS: [Mutation; 31] = [
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
        "keys.admitted, '-inf', now, 'LIMIT'",
        "keys.admitted, '-inf', now - 90000, 'LIMIT'",
    ),
    always(
        "keys.admitted, '-inf', now, 'LIMIT'",
        "keys.admitted, '-inf', now + 5000, 'LIMIT'",
    ),
    always(
        "settle(ARGV[i], call('ZSCORE', keys.waiting, ARGV[i]), LEFT, 't_left')",
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
        "if deadline > 0 and deadline <= now and",
        "if deadline > 0 and deadline <= now - 60000 and",
    ),
    always(
        "for bit_ = 0, (n - 1) % 8 - 1 do",
        "for bit_ = 0, (n - 1) % 8 - 2 do",
    ),
    with(
        Fault::StoreRestarted,
        "local is_lost = got[1] ~= run",
        "local is_lost = got[1] ~= run and not IS_TICK",
    ),
    with(
        Fault::NodeKilled,
        "    set_owner(n, 0)\n    if is_waiting",
        "    if is_waiting",
    ),
];
