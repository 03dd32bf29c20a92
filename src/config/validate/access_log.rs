//! `[access_log]`: one line for each request.

use super::{
    super::{
        plan::{AccessLog, LogSink},
        raw::{Table, Value},
        report::{Problem, Report},
    },
    field,
};
use crate::limits::{LOG_ENTRIES_DEFAULT, LOG_ENTRIES_MAX, LOG_ENTRIES_MIN};

const HELP: &str = r#"write a path such as "access.jsonl", or "-" for standard output"#;

/// Reads the table, if it is there.
pub(super) fn access_log(table: Option<Table<'_>>, report: &mut Report) -> Option<AccessLog> {
    let mut table = table?;
    let sink = table.require("path", HELP, report).and_then(|value| sink(&value, report));
    let bounds = (LOG_ENTRIES_MIN, LOG_ENTRIES_MAX);
    let ring_entries = field::count(&mut table, "ring_entries", LOG_ENTRIES_DEFAULT, bounds, report);
    table.finish(report);
    Some(AccessLog { sink: sink?, ring_entries })
}

fn sink(value: &Value<'_>, report: &mut Report) -> Option<LogSink> {
    let base = &value.source().base;
    value.convert(report, |text| match text {
        "-" => Ok(LogSink::StandardOutput),
        "" => Err(Problem::new("the path is empty", HELP)),
        _ if text.contains('\0') || text.ends_with('/') => Err(Problem::new("not a path of a file", HELP)),
        _ => Ok(LogSink::Path(base.join(text))),
    })
}
