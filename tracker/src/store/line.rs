//! A connection to one server of the store, with deadlines. Source: the specification of RESP.
//!
//! Many commands go in one write, and all their answers are awaited; a server that takes too long,
//! or answers with more than it was asked for, loses the connection. Knows nothing of what is said.

use std::io::{self, Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Instant;

use redis::{Cmd, ConnectionInfo, Parser, Pipeline, Value, cmd};

use super::StoreFault;
use super::wire::{Authorities, Wire};
use super::words::{READ, Scripts, WRITE};
use crate::limits;

/// One connection, ready to be asked.
pub(super) struct Line {
    wire: Wire,
    parser: Parser,
    pub(super) scripts: Scripts,
}

impl Line {
    /// Connects, says who we are, and hands over the scripts.
    pub(super) fn open(
        host: &str,
        port: u16,
        (info, authorities): (&ConnectionInfo, Option<&Authorities>),
        in_cluster: bool,
    ) -> Result<Self, StoreFault> {
        let mut line = Self {
            wire: Wire::new(connect(host, port)?, host, authorities)?,
            parser: Parser::new(),
            scripts: Scripts {
                write: String::new(),
                read: String::new(),
            },
        };
        let mut greeting = Vec::new();
        let settings = info.redis_settings();
        if let Some(password) = settings.password() {
            let mut auth = cmd("AUTH");
            if let Some(name) = settings.username() {
                auth.arg(name);
            }
            auth.arg(password);
            greeting.push(auth);
        }
        // A cluster has one database.
        if settings.db() != 0 && !in_cluster {
            let mut select = cmd("SELECT");
            select.arg(settings.db());
            greeting.push(select);
        }
        for script in [WRITE, READ] {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(script);
            greeting.push(load);
        }
        let mut answers = line.ask(greeting)?;
        let refused = |answer: &Value| match answer {
            Value::ServerError(error) => Some(words(error)),
            _ => None,
        };
        if let Some(why) = answers.iter().find_map(refused) {
            let fault = StoreFault::Refused(without(why, settings.password()));
            return Err(fault);
        }
        let mut name = || match answers.pop() {
            Some(Value::BulkString(name)) => String::from_utf8(name).ok(),
            _ => None,
        };
        let (read, write) = (name(), name());
        let (Some(read), Some(write)) = (read, write) else {
            return Err(StoreFault::Strange);
        };
        line.scripts = Scripts { write, read };
        Ok(line)
    }

    /// Sends all commands and takes an answer to each.
    pub(super) fn ask(&mut self, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreFault> {
        let count = commands.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        self.wire
            .read_until(Instant::now() + limits::STORE_ANSWER_MAX);
        self.wire.write_all(&pipeline.get_packed_pipeline())?;
        self.wire.flush()?;
        let mut reader = Bounded {
            wire: &mut self.wire,
            left: limits::STORE_ANSWER_BYTES_MAX,
        };
        let mut answers = Vec::with_capacity(count);
        for _ in 0..count {
            let answer = self.parser.parse_value(&mut reader);
            answers.push(answer.map_err(|error| StoreFault::broken(&error))?);
        }
        Ok(answers)
    }
}

/// What a server says when it refuses, in one printable line.
pub(super) fn words(error: &redis::ServerError) -> String {
    let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
    crate::text::printable(text.trim().as_bytes())
}

/// What a server says of a password is not passed on: one that knows no `AUTH` repeats it.
fn without(why: String, password: Option<&str>) -> String {
    match password {
        Some(_) if !why.starts_with("WRONGPASS") && !why.starts_with("NOAUTH") => {
            let (code, _) = why.split_once(' ').unwrap_or((&why, ""));
            format!("{code} to the greeting, which has a password; see the log of the store")
        }
        _ => why,
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = super::bare(host);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()?.take(limits::ADDRESSES_MAX) {
        match TcpStream::connect_timeout(&address, limits::STORE_CONNECT_MAX) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads so many bytes.
struct Bounded<'s> {
    wire: &'s mut Wire,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut *self.wire).take(self.left).read(buffer)?;
        self.left -= read as u64;
        if read == 0 && !buffer.is_empty() {
            return Err(io::Error::other(if self.left == 0 {
                "it answers with more than it was asked for"
            } else {
                "it closed the connection"
            }));
        }
        Ok(read)
    }
}
