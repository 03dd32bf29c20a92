//! `[[target]]`: where an API is and how long it may take.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        outside::Outside,
        plan::{Target, TargetTimeouts},
        raw::{Table, Value},
        report::{Problem, Report},
    },
    field,
    host::{self, Url},
    rule, tls,
};
use crate::limits;

/// Most idle connections to one target that a shard may be told to keep.
const IDLE_CONNECTIONS_MAX: usize = 65_536;
/// Name servers are asked no more often than this.
const RESOLVE_MIN: Duration = Duration::from_secs(1);

/// A target; its name was read by the caller.
pub(super) fn target(
    table: &mut Table<'_>,
    name: &str,
    outside: &dyn Outside,
    report: &mut Report,
) -> Target {
    let help = r#"write url = "https://host/base""#;
    let found = table.require("url", help, report).and_then(|value| url(value, report));
    let url = found.unwrap_or_default();
    let tls = tls::target(table, &url, outside, report).map(Arc::new);
    let Url { host, port, authority, base_path, .. } = url;
    Target {
        name: name.to_owned(),
        host,
        port,
        authority,
        base_path,
        tls,
        preserve_host: field::boolean(table, "preserve_host", false, report),
        idle_connections: field::count(
            table,
            "idle_connections",
            limits::IDLE_CONNECTIONS_DEFAULT,
            (0, IDLE_CONNECTIONS_MAX),
            report,
        ),
        timeouts: timeouts(table.take("timeouts").and_then(|value| value.table(report)), report),
        rules: rule::rules(table, report),
    }
}

fn url(value: Value<'_>, report: &mut Report) -> Option<Url> {
    let text = value.text(report)?;
    // What is refused there may be a password or a key in the query.
    let value = if text.contains(['@', '?', '#']) { value.masked() } else { value };
    value.accept(host::url(text), report)
}

fn timeouts(table: Option<Table<'_>>, report: &mut Report) -> TargetTimeouts {
    let seconds = Duration::from_secs;
    let defaults = TargetTimeouts {
        connect: seconds(5),
        first_byte: seconds(60),
        body: seconds(30),
        total: None,
        idle: seconds(55),
        tunnel: None,
        tunnel_idle: seconds(600),
        resolve: seconds(30),
    };
    let Some(mut table) = table else { return defaults };
    let found = TargetTimeouts {
        connect: field::duration(&mut table, "connect", defaults.connect, report),
        first_byte: field::duration(&mut table, "first_byte", defaults.first_byte, report),
        body: field::duration(&mut table, "body", defaults.body, report),
        total: field::duration_or_none(&mut table, "total", report),
        idle: field::duration(&mut table, "idle", defaults.idle, report),
        tunnel: field::duration_or_none(&mut table, "tunnel", report),
        tunnel_idle: field::duration(&mut table, "tunnel_idle", defaults.tunnel_idle, report),
        resolve: resolve(&mut table, defaults.resolve, report),
    };
    table.finish(report);
    found
}

fn resolve(table: &mut Table<'_>, default: Duration, report: &mut Report) -> Duration {
    let Some(value) = table.take("resolve") else { return default };
    let Some(found) = value.convert(report, super::value::duration) else { return default };
    if found < RESOLVE_MIN {
        value.error(Problem::new("out of range", r#"write a duration from "1s" to "365d""#), report);
    }
    found
}
