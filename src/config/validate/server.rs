//! `[server]`, `[[listener]]` and `[admin]`: what holds for the process.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    super::{
        Severity,
        outside::Outside,
        plan::{Admin, CallerLimits, CallerTimeouts, Driver, Edge, Listener, Server},
        raw::{Table, Tree, Value},
        report::{Place, Problem, Report},
        value,
    },
    field, listener, tls,
};
use crate::{limits, types::Endpoint};

/// Least bound on a head: a request line and a few fields must fit.
const HEAD_BYTES_MIN: usize = 1024;
/// Least bound on a target.
const TARGET_BYTES_MIN: usize = 64;
/// Most connections that can be asked for; the limit on open files is reached long before.
const CONNECTIONS_MAX: usize = 10_000_000;
/// The share of keys or proxies, in percent, that a reload may take away without being forced.
const SHRINK_LIMIT_DEFAULT: u8 = 20;
/// Who may ask at the Unix socket of the admin listener: its owner, since there is no other access control.
const ADMIN_MODE_DEFAULT: u32 = 0o600;
/// Where a file without listeners listens.
const LISTENER_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// `include` of the main file, if it is written there. What is wrong with the table is left to [`server`].
pub(in super::super) fn include<'a>(main: &'a Tree<'a>, report: &mut Report) -> Option<Vec<Value<'a>>> {
    let server = main.root().take("server")?;
    server.inner().as_table()?;
    let list = server.table(report)?.take("include")?;
    Some(list.list(report))
}

/// `[server]`.
pub(super) fn server(table: Option<Table<'_>>, report: &mut Report) -> Server {
    let defaults = Server {
        data_dir: None,
        shrink_limit: SHRINK_LIMIT_DEFAULT,
        shards: None,
        driver: Driver::Auto,
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(30),
        timeouts: timeouts(None, report),
        limits: limits_of(None, report),
    };
    let Some(mut table) = table else { return defaults };
    // Its members were checked and read before this file's other tables were.
    table.take("include");
    let server = Server {
        data_dir: table.take("data_dir").and_then(|value| data_dir(&value, report)),
        shrink_limit: shrink_limit(&mut table, report),
        shards: field::count_or_auto(&mut table, "shards", (1, limits::SHARDS_MAX), report),
        driver: table.take("driver").and_then(|value| driver(&value, report)).unwrap_or(Driver::Auto),
        drain_delay: field::duration_or_zero(&mut table, "drain_delay", report),
        drain_timeout: field::duration(&mut table, "drain_timeout", defaults.drain_timeout, report),
        timeouts: timeouts(table.take("timeouts").and_then(|value| value.table(report)), report),
        limits: limits_of(table.take("limits").and_then(|value| value.table(report)), report),
    };
    table.finish(report);
    server
}

/// `[[listener]]` and `[admin]`: no two may want the same address.
pub(super) fn listeners(
    tables: Vec<Table<'_>>,
    admin: Option<Table<'_>>,
    outside: &dyn Outside,
    report: &mut Report,
) -> (Vec<Listener>, Option<Admin>) {
    let mut taken = HashMap::new();
    let mut listeners = Vec::new();
    for mut table in tables {
        let found = address(&mut table, &mut taken, report).map(|(address, _)| address);
        let tls = table.take("tls");
        let edge = listener::edge(&mut table, found.as_ref(), tls.is_some(), report);
        let tls = tls.and_then(|value| tls::listener(&value, outside, report)).map(Arc::new);
        listeners.extend(found.map(|address| Listener { address, tls, edge }));
        table.finish(report);
    }
    if listeners.is_empty() {
        listeners.push(Listener { address: LISTENER_DEFAULT.into(), tls: None, edge: Edge::default() });
    }
    let admin = admin.and_then(|mut table| {
        let found = address(&mut table, &mut taken, report);
        let place = found.as_ref().map(|(address, _)| address);
        let mode = listener::mode(&mut table, place, report).unwrap_or(ADMIN_MODE_DEFAULT);
        table.finish(report);
        let (address, value) = found?;
        if matches!(&address, Endpoint::Tcp(address) if !address.ip().is_loopback()) {
            let problem = Problem::new(
                "the admin listener has no access control and is not on a loopback address",
                r#"write "127.0.0.1:9440" unless a firewall guards it"#,
            );
            value.add(Severity::Warning, problem, report);
        }
        Some(Admin { address, mode })
    });
    (listeners, admin)
}

/// A directory; a relative one is relative to the file.
fn data_dir(value: &Value<'_>, report: &mut Report) -> Option<PathBuf> {
    let text = value.text(report)?;
    if text.is_empty() || text.contains('\0') {
        value.error(Problem::new("not a directory", r#"write one such as "/var/lib/keyferry""#), report);
        return None;
    }
    Some(value.source().base.join(text))
}

fn shrink_limit(table: &mut Table<'_>, report: &mut Report) -> u8 {
    let percent = field::count(table, "shrink_limit", SHRINK_LIMIT_DEFAULT.into(), (0, 100), report);
    u8::try_from(percent).unwrap_or(SHRINK_LIMIT_DEFAULT)
}

fn driver(value: &Value<'_>, report: &mut Report) -> Option<Driver> {
    let words = [
        ("auto", Driver::Auto),
        ("io_uring-defer", Driver::UringDefer),
        ("io_uring-coop", Driver::UringCoop),
        ("epoll", Driver::Epoll),
    ];
    field::choice(value, &words, report)
}

fn timeouts(table: Option<Table<'_>>, report: &mut Report) -> CallerTimeouts {
    let seconds = Duration::from_secs;
    let defaults = CallerTimeouts { head: seconds(10), body: seconds(30), idle: seconds(60) };
    let Some(mut table) = table else { return defaults };
    let timeouts = CallerTimeouts {
        head: field::duration(&mut table, "head", defaults.head, report),
        body: field::duration(&mut table, "body", defaults.body, report),
        idle: field::duration(&mut table, "idle", defaults.idle, report),
    };
    table.finish(report);
    timeouts
}

fn limits_of(table: Option<Table<'_>>, report: &mut Report) -> CallerLimits {
    let defaults = CallerLimits {
        head_bytes: limits::HEAD_BYTES_DEFAULT,
        headers: limits::HEADERS_DEFAULT,
        target_bytes: limits::TARGET_BYTES_DEFAULT,
        body_bytes: None,
        connections: None,
        connections_per_address: None,
    };
    let Some(mut table) = table else { return defaults };
    let head_bounds = (HEAD_BYTES_MIN, limits::HEAD_BYTES_MAX);
    let head_bytes = field::size(&mut table, "head_bytes", defaults.head_bytes, head_bounds, report);
    // A target that is longer than the head that holds it could never be reached.
    let target_default = defaults.target_bytes.min(head_bytes);
    let found = CallerLimits {
        head_bytes,
        headers: field::count(&mut table, "headers", defaults.headers, (1, limits::HEADERS_MAX), report),
        target_bytes: field::size(
            &mut table,
            "target_bytes",
            target_default,
            (TARGET_BYTES_MIN, head_bytes),
            report,
        ),
        body_bytes: body_bytes(&mut table, report),
        connections: field::count_or_auto(&mut table, "connections", (1, CONNECTIONS_MAX), report),
        connections_per_address: field::count_or_none(
            &mut table,
            "connections_per_address",
            (1, CONNECTIONS_MAX),
            report,
        ),
    };
    table.finish(report);
    found
}

fn body_bytes(table: &mut Table<'_>, report: &mut Report) -> Option<u64> {
    let value = table.take("body_bytes")?;
    if value.inner().as_str() == Some("none") {
        return None;
    }
    let read = value::size(value.inner());
    let read =
        read.map_err(|problem| Problem { help: problem.help.map(|help| help + r#", or "none""#), ..problem });
    value.accept(read, report)
}

fn address<'a>(
    table: &mut Table<'a>,
    taken: &mut HashMap<Endpoint, Place>,
    report: &mut Report,
) -> Option<(Endpoint, Value<'a>)> {
    let help = r#"write an address and a port, such as "0.0.0.0:8080" or "[::]:8080""#;
    let value = table.require("address", help, report)?;
    let address = value.convert(report, |text| {
        listener::endpoint(text, value.source()).ok_or_else(|| {
            Problem::new(
                "not an address with a port",
                format!(r#"{help}, or "unix:/run/keyferry/callers.sock""#),
            )
        })
    })?;
    if matches!(&address, Endpoint::Tcp(address) if address.port() == 0) {
        return Some((address, value));
    }
    if let Some(first) = taken.get(&address) {
        let message = format!("the address is already taken at {}", report.locate(*first));
        value.error(Problem::new(message, "give each listener its own address or port"), report);
        return None;
    }
    taken.insert(address.clone(), value.place());
    Some((address, value))
}
