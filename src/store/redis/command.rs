use redis::{Cmd, cmd};

use crate::store::ttl::Ttl;

/// A command and the key that selects the node of a cluster.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) key: String,
    pub(super) cmd: Cmd,
}

/// Replaces a value if it is the expected one.
///
/// Scripts are sent as text, because a server forgets them when it restarts, after a failover and
/// after `SCRIPT FLUSH`. They are shorter than most values.
const REPLACE: &str = "\
    if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end \
    redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) return 1";

/// Adds to a counter, which is created with a lifetime. The result is text, because a number of a
/// script has only 53 bits.
const ADD: &str = "\
    redis.call('SET',KEYS[1],'0','PX',ARGV[2],'NX') \
    redis.call('INCRBY',KEYS[1],ARGV[1]) \
    return redis.call('GET',KEYS[1])";

/// Reads values from a primary server. A server that becomes a replica keeps its connections, and
/// answers reads with what it has. `MGET` does not report a key with a value of another type, and
/// the commands of a transaction fail if the memory of the server is full.
const GET_ALL: &str = "\
    if not string.find(redis.call('INFO','replication'),'role:master',1,true) then \
        return redis.error_reply('READONLY the server has become a replica') \
    end \
    local values={} \
    for i,key in ipairs(KEYS) do values[i]=redis.call('GET',key) end \
    return values";

/// Returns the command that reads several keys of one server at one instant.
pub(super) fn get_all(commands: &[Command]) -> Cmd {
    let mut cmd = cmd("EVAL_RO");
    cmd.arg(GET_ALL).arg(commands.len());
    for command in commands {
        cmd.arg(&command.key);
    }
    cmd
}

impl Command {
    pub(super) fn get(key: String) -> Self {
        Self::on(key, "GET", |_| {})
    }

    pub(super) fn put(key: String, value: &[u8], ttl: Ttl) -> Self {
        Self::on(key, "SET", |cmd| {
            cmd.arg(value).arg("PX").arg(ttl.as_millis());
        })
    }

    pub(super) fn insert(key: String, value: &[u8], ttl: Ttl) -> Self {
        Self::on(key, "SET", |cmd| {
            cmd.arg(value).arg("PX").arg(ttl.as_millis()).arg("NX");
        })
    }

    pub(super) fn take(key: String) -> Self {
        Self::on(key, "GETDEL", |_| {})
    }

    pub(super) fn replace(key: String, current: &[u8], value: &[u8], ttl: Ttl) -> Self {
        Self::eval(key, REPLACE, |cmd| {
            cmd.arg(current).arg(value).arg(ttl.as_millis());
        })
    }

    pub(super) fn add(key: String, delta: i64, ttl: Ttl) -> Self {
        Self::eval(key, ADD, |cmd| {
            cmd.arg(delta).arg(ttl.as_millis());
        })
    }

    fn on(key: String, name: &str, add_arguments: impl FnOnce(&mut Cmd)) -> Self {
        let mut cmd = cmd(name);
        cmd.arg(&key);
        add_arguments(&mut cmd);
        Self { key, cmd }
    }

    fn eval(key: String, script: &str, add_arguments: impl FnOnce(&mut Cmd)) -> Self {
        let mut cmd = cmd("EVAL");
        cmd.arg(script).arg(1).arg(&key);
        add_arguments(&mut cmd);
        Self { key, cmd }
    }
}
