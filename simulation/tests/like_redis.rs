//! The model of Redis against a real server: the same commands and scripts, the same replies and
//! the same data.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use redis::{Cmd, ConnectionLike as _, RedisError, Value};
use simulation::{Dice, Life, Reply, Server};

/// Commands of one round.
const COMMANDS: usize = 20_000;

/// A real server and the model.
struct Both {
    real: redis::Connection,
    model: Server,
    _server: testkit::Redis,
}

/// Returns a reply in a form that can be compared: of an error its code, of a list without an order
/// of its own the sorted values.
fn plain(reply: Reply, is_ordered: bool) -> Reply {
    match reply {
        Reply::Error(text) => {
            let code = text.split(' ').next().unwrap_or("");
            Reply::Error(code.to_owned())
        }
        Reply::Array(replies) => {
            let mut replies: Vec<Reply> = replies
                .into_iter()
                .map(|reply| plain(reply, is_ordered))
                .collect();
            if !is_ordered {
                replies.sort();
            }
            Reply::Array(replies)
        }
        reply => reply,
    }
}

fn of_error(error: &RedisError) -> Reply {
    Reply::Error(error.code().unwrap_or("ERR").to_owned())
}

fn of_value(value: Value) -> Reply {
    match value {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Integer(number),
        Value::BulkString(bytes) => Reply::Bulk(bytes),
        Value::SimpleString(word) => Reply::Status(word),
        Value::Okay => Reply::Status("OK".to_owned()),
        Value::Array(values) => Reply::Array(values.into_iter().map(of_value).collect()),
        Value::ServerError(error) => of_error(&error.into()),
        other => panic!("no reply of this version of the protocol: {other:?}"),
    }
}

impl Both {
    fn start() -> Both {
        let server = testkit::Redis::start();
        let client = redis::Client::open(server.url()).unwrap();
        let life = Life {
            run_id: "a".repeat(40),
            replication_id: "b".repeat(40),
        };
        Both {
            real: client.get_connection().unwrap(),
            model: Server::new(life),
            _server: server,
        }
    }

    /// Runs a command on both, and returns the reply.
    fn run(&mut self, words: &[&[u8]]) -> Reply {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let unordered = [&b"HGETALL"[..], b"HVALS", b"HKEYS", b"SMEMBERS"];
        let is_ordered = !unordered.contains(&words[0]);
        let real = match self.real.req_command(&command) {
            Ok(value) => of_value(value),
            Err(error) => of_error(&error),
        };
        let model = plain(self.model.execute(0, words), is_ordered);
        let real = plain(real, is_ordered);
        let shown: Vec<_> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word))
            .collect();
        assert_eq!(model, real, "model and server after {shown:?}");
        real
    }

    fn run_text(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.run(&words)
    }

    /// Compares all data.
    fn compare(&mut self) {
        for name in self.model.database().names() {
            let kind = self.run(&[b"TYPE", &name]);
            match kind {
                Reply::Status(kind) if kind == "string" => self.run(&[b"GET", &name]),
                Reply::Status(kind) if kind == "hash" => self.run(&[b"HGETALL", &name]),
                Reply::Status(kind) if kind == "list" => self.run(&[b"LRANGE", &name, b"0", b"-1"]),
                Reply::Status(kind) if kind == "set" => self.run(&[b"SMEMBERS", &name]),
                Reply::Status(kind) if kind == "stream" => {
                    self.run(&[b"XRANGE", &name, b"-", b"+"])
                }
                _ => self.run(&[b"ZRANGE", &name, b"0", b"-1", b"WITHSCORES"]),
            };
        }
        self.run(&[b"DBSIZE"]);
    }
}

/// Makes a command of words that mostly fit: `k` is a key, `m` a member, `i` an index, `n` a number,
/// `b` a bit, `s` a bound of scores, `*` any number of the one before.
fn command(dice: &mut Dice, shape: &str) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    for part in shape.split(' ') {
        let count = if part.ends_with('*') {
            dice.between(0, 4)
        } else {
            1
        };
        for _ in 0..count {
            for sign in part.trim_end_matches('*').split(',') {
                words.push(word(dice, sign).into_bytes());
            }
        }
    }
    words
}

fn word(dice: &mut Dice, sign: &str) -> String {
    match sign {
        // A key of each type, and sometimes one of another.
        "ks" | "kh" | "kl" | "kt" | "kz" | "kx" if dice.chance(970) => {
            format!("{sign}{}", dice.below(3))
        }
        "ks" | "kh" | "kl" | "kt" | "kz" | "kx" | "k" => {
            let kind = dice.pick(&["ks", "kh", "kl", "kt", "kz", "kx"]);
            format!("{kind}{}", dice.below(3))
        }
        "m" => format!("m{}", dice.below(12)),
        "i" => (dice.below(30) as i64 - 12).to_string(),
        "n" => match dice.below(12) {
            0 => "x".to_owned(),
            1 => "1.5".to_owned(),
            2 => "-0.25".to_owned(),
            3 => "1800000000000".to_owned(),
            _ => (dice.below(40) as i64 - 10).to_string(),
        },
        "o" => dice.below(60).to_string(),
        "b" => dice.below(2).to_string(),
        "s" => match dice.below(8) {
            0 => "-inf".to_owned(),
            1 => "+inf".to_owned(),
            2 => format!("({}", dice.below(30)),
            _ => (dice.below(40) as i64 - 5).to_string(),
        },
        // Ids that mostly rise.
        "x" => format!("{}-{}", dice.below(4000), dice.below(3)),
        "unit" => dice.pick(&["BYTE", "BIT"]).to_owned(),
        "op" => dice.pick(&["AND", "OR", "XOR"]).to_owned(),
        "flag" => dice.pick(&["NX", "XX", "GT", "LT", "CH"]).to_owned(),
        "set" => dice.pick(&["NX", "XX", "KEEPTTL"]).to_owned(),
        "end" => dice.pick(&["LPUSH", "RPUSH"]).to_owned(),
        "pop" => dice
            .pick(&["LPOP", "RPOP", "ZPOPMIN", "ZPOPMAX"])
            .to_owned(),
        "pops" => dice.pick(&["LPOP", "RPOP"]).to_owned(),
        "popz" => dice.pick(&["ZPOPMIN", "ZPOPMAX"]).to_owned(),
        "rank" => dice.pick(&["ZRANK", "ZREVRANK"]).to_owned(),
        "all" => dice.pick(&["HGETALL", "HVALS", "HKEYS"]).to_owned(),
        other => other.to_owned(),
    }
}

const SHAPES: [&str; 76] = [
    "GET ks",
    "SET ks m",
    "SET ks n",
    "SET ks m set",
    "SET ks m PX 1000000",
    "GETRANGE ks i i",
    "SETRANGE ks o m",
    "STRLEN ks",
    "APPEND ks m",
    "INCR ks",
    "INCRBY ks i",
    "MGET ks ks*",
    "GETBIT ks o",
    "SETBIT ks o b",
    "SETBIT ks o b",
    "BITCOUNT ks",
    "BITCOUNT ks i i",
    "BITCOUNT ks i i unit",
    "BITPOS ks b",
    "BITPOS ks b i",
    "BITPOS ks b i i",
    "BITPOS ks b i i unit",
    "BITOP op ks ks ks*",
    "BITOP NOT ks ks",
    "HSET kh m,n m,n*",
    "HGET kh m",
    "HMGET kh m m*",
    "HDEL kh m m*",
    "HEXISTS kh m",
    "HLEN kh",
    "all kh",
    "HINCRBY kh m i",
    "HSETNX kh m n",
    "HSTRLEN kh m",
    "end kl m m*",
    "end kl m",
    "pops kl",
    "pops kl o",
    "LLEN kl",
    "LRANGE kl i i",
    "LTRIM kl i i",
    "LINDEX kl i",
    "SADD kt m m*",
    "SREM kt m m*",
    "SCARD kt",
    "SMEMBERS kt",
    "SISMEMBER kt m",
    "ZADD kz n,m n,m*",
    "ZADD kz n,m",
    "ZADD kz flag n,m n,m*",
    "ZADD kz flag flag n,m",
    "ZADD kz INCR n,m",
    "ZINCRBY kz n m",
    "ZREM kz m m*",
    "ZCARD kz",
    "ZSCORE kz m",
    "ZMSCORE kz m m*",
    "rank kz m",
    "popz kz",
    "popz kz o",
    "ZRANGE kz i i",
    "ZRANGE kz i i REV WITHSCORES",
    "ZRANGE kz s s BYSCORE",
    "ZRANGE kz s s BYSCORE REV LIMIT i i WITHSCORES",
    "ZRANGEBYSCORE kz s s LIMIT i i",
    "ZREVRANGEBYSCORE kz s s WITHSCORES",
    "ZCOUNT kz s s",
    "ZREMRANGEBYSCORE kz s s",
    "ZREMRANGEBYRANK kz i i",
    "ZREVRANGE kz i i",
    "XADD kx x m m",
    "XADD kx MAXLEN ~ 3 x m n m n",
    "XADD kx MAXLEN = 5 x m n",
    "XLEN kx",
    "XRANGE kx - + COUNT o",
    "XRANGE kx x + COUNT i",
];

const SHAPES_OF_KEYS: [&str; 9] = [
    "DEL k k*",
    "UNLINK k",
    "EXISTS k k*",
    "EXPIRE k 100000",
    "PEXPIRE k -1",
    "PERSIST k",
    "TYPE k",
    "RENAME k k",
    "DBSIZE",
];

#[test]
fn random_commands_have_the_same_replies_and_leave_the_same_data() {
    let mut both = Both::start();
    let mut dice = Dice::new(1);
    for count in 0..COMMANDS {
        let shapes = if dice.chance(80) {
            &SHAPES_OF_KEYS[..]
        } else {
            &SHAPES[..]
        };
        let shape = dice.pick(shapes);
        let words = command(&mut dice, shape);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        both.run(&words);
        if count % 500 == 0 {
            both.compare();
        }
    }
    both.compare();
}

const SCRIPTS: [&str; 35] = [
    "return 1",
    "return 3.99",
    "return -3.99",
    "return true",
    "return false",
    "return {1, 2, nil, 4}",
    "return {1, false, 'a', {2, {true}}}",
    "return {ok = 'FINE'}",
    "return {err = 'MINE it is'}",
    "return redis.error_reply('MINE it is')",
    "return redis.status_reply('FINE')",
    "return redis.call('SET', KEYS[1], 0.1)",
    "redis.call('SET', KEYS[1], 12345678901234) return redis.call('GET', KEYS[1])",
    "redis.call('SET', KEYS[1], 1e20) return redis.call('GET', KEYS[1])",
    "redis.call('SET', KEYS[1], 2 ^ 53) return redis.call('GET', KEYS[1])",
    "return redis.call('GET', 'nothing')",
    "return {redis.call('HMGET', KEYS[1] .. 'h', 'a', 'b')}",
    "return redis.call('LPOP', 'nothing', 3)",
    "return redis.pcall('LPOP', KEYS[1])",
    "return redis.call('LPOP', KEYS[1])",
    "return redis.pcall('GET')",
    "return #ARGV .. ARGV[1] .. KEYS[1]",
    "return tostring(1 / 3) .. ' ' .. 2 ^ 40 .. ' ' .. 7 % -3 .. ' ' .. math.floor(-2.5)",
    "return {struct.unpack('>I6', struct.pack('>I6', 1800000000123))}",
    "return {struct.unpack('<i2B>d', struct.pack('<i2B>d', -300, 200, 0.5))}",
    "return {struct.unpack('>I2c0', struct.pack('>I2c0', 3, 'abc'))}",
    "return {struct.pack('>I6', 5), struct.pack('>h', -2), struct.pack('s', 'x'), struct.size('>I6i2')}",
    "return {bit.band(255, 129), bit.bor(1, 128), bit.rshift(128, 3), bit.lshift(1, 31), bit.bnot(0)}",
    "return {bit.band(-1, 7), bit.bxor(5, 3), bit.arshift(-8, 1), bit.tobit(2 ^ 32 + 1)}",
    "return string.match('run_id:abc12', 'run_id:(%x+)')",
    "x = 1 return x",
    "return y",
    "local t = {} for i = 1, 5 do t[#t + 1] = i end return redis.call('RPUSH', KEYS[1] .. 'l', unpack(t))",
    "return redis.sha1hex('a')",
    "local x = KEYS[1] .. 'x' for i = 1, 450 do redis.call('XADD', x, 'MAXLEN', '~', 120, i .. '-0', 'a', i) end return redis.call('XRANGE', x, '40-0', '+')",
];

#[test]
fn scripts_have_the_same_replies() {
    let mut both = Both::start();
    for script in SCRIPTS {
        both.run_text(&["EVAL", script, "1", "key", "one", "2"]);
    }
    both.compare();
}

#[test]
fn a_script_is_known_by_its_hash_until_the_server_starts_again() {
    let mut both = Both::start();
    let hash = redis::Script::new("return ARGV[1]").get_hash().to_owned();
    let call = ["EVALSHA", &hash, "0", "a"];
    assert_eq!(both.run_text(&call), Reply::Error("NOSCRIPT".to_owned()));
    both.run_text(&["EVAL", "return ARGV[1]", "0", "b"]);
    assert_eq!(both.run_text(&call), Reply::Bulk(b"a".to_vec()));
    let data = both.model.snapshot();
    let life = both.model.life().clone();
    both.model.restart(life, data);
    let words: Vec<&[u8]> = call.iter().map(|word| word.as_bytes()).collect();
    let reply = both.model.execute(0, &words);
    assert!(matches!(reply, Reply::Error(text) if text.starts_with("NOSCRIPT")));
}
