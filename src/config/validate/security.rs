//! `security` and `proxy_credentials` of a `[[proxy]]`.
//!
//! `security = [["partner-jwt", "partner-key"], "legacy-key"]` is an OR of ANDs; a name alone stands for a list with one
//! member; `{ all = […], identity = "…" }` is an AND that says whose consumer calls; `[]` lets everybody in.

use super::super::{
    plan::{Branch, Security},
    raw::{Table, Value},
    report::{Problem, Report},
};
use crate::limits::{BRANCH_MEMBERS_MAX, BRANCHES_MAX};

const HELP: &str =
    r#"write proxy_credentials = ["…"], or security = [["…", "…"], "…"]; security = [] lets everybody in"#;

/// A credential that was looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    /// Among the proxy credentials.
    pub position: usize,
    /// Among the consumers.
    pub consumer: Option<usize>,
}

/// Looks a credential up that is named here, and says what is wrong where there is none.
pub(super) type Find<'f, 'a> = dyn FnMut(&Value<'a>, &mut Report) -> Result<Named, String> + 'f;

/// Reads both. The sentence says why the proxy cannot serve.
pub(super) fn security<'a>(
    table: &mut Table<'a>,
    find: &mut Find<'_, 'a>,
    report: &mut Report,
) -> Result<Security, String> {
    let none = || "nobody is said to be let in".to_owned();
    match (table.take("proxy_credentials"), table.take("security")) {
        (Some(_), Some(security)) => {
            security.error(Problem::new("proxy_credentials is written too", "write one of the two"), report);
            Err(none())
        }
        (Some(list), None) => {
            if list.inner().as_array().is_some_and(|list| list.is_empty()) {
                list.error(Problem::new("the list is empty", HELP), report);
                return Err(none());
            }
            branches(&list, false, find, report)
        }
        (None, Some(list)) => branches(&list, true, find, report),
        (None, None) => {
            table.error(Problem::new("it says nothing about who is let in", HELP), report);
            Err(none())
        }
    }
}

fn branches<'a>(
    list: &Value<'a>,
    with_ands: bool,
    find: &mut Find<'_, 'a>,
    report: &mut Report,
) -> Result<Security, String> {
    let mut security = Security::default();
    let mut failed = None;
    let members = list.list(report);
    if members.len() > BRANCHES_MAX {
        list.error(Problem::plain(format!("it has more than {BRANCHES_MAX} members")), report);
    }
    if !list.inner().is_array() {
        return Err("its security cannot be read".to_owned());
    }
    for member in members.iter().take(BRANCHES_MAX) {
        let read = match member.inner() {
            inner if with_ands && inner.is_array() => all_of(member, None, find, report),
            inner if with_ands && inner.is_table() => named_identity(member, find, report),
            _ => find(member, report).map(|found| Branch::of(found.position)),
        };
        match read {
            Ok(branch) if security.branches.iter().any(|known| known.members == branch.members) => {
                member.error(Problem::plain("it is written twice"), report);
            }
            Ok(branch) => security.branches.push(branch),
            Err(sentence) => {
                failed.get_or_insert(sentence);
            }
        }
    }
    failed.map_or(Ok(security), Err)
}

/// `{ all = […], identity = "…" }`.
fn named_identity<'a>(
    value: &Value<'a>,
    find: &mut Find<'_, 'a>,
    report: &mut Report,
) -> Result<Branch, String> {
    let unreadable = || "its security cannot be read".to_owned();
    let mut table = value.table(report).ok_or_else(unreadable)?;
    let help = r#"write { all = ["…", "…"], identity = "…" }"#;
    let all = table.require("all", help, report);
    let identity = table.take("identity");
    table.finish(report);
    all_of(&all.ok_or_else(unreadable)?, identity.as_ref(), find, report)
}

fn all_of<'a>(
    value: &Value<'a>,
    identity: Option<&Value<'a>>,
    find: &mut Find<'_, 'a>,
    report: &mut Report,
) -> Result<Branch, String> {
    let listed = value.list(report);
    if listed.is_empty() || listed.len() > BRANCH_MEMBERS_MAX {
        let help = format!("write 1 to {BRANCH_MEMBERS_MAX} names of credentials");
        value.error(Problem::new("it has too few or too many members", help), report);
    }
    let mut named: Vec<Named> = Vec::new();
    let mut failed = None;
    for member in listed.iter().take(BRANCH_MEMBERS_MAX) {
        match find(member, report) {
            Ok(found) if named.iter().any(|one| one.position == found.position) => {
                member.error(Problem::plain("the credential is written twice"), report);
            }
            Ok(found) => named.push(found),
            Err(sentence) => {
                failed.get_or_insert(sentence);
            }
        }
    }
    if let Some(sentence) = failed {
        return Err(sentence);
    }
    let identity = match identity {
        Some(value) => {
            let wanted = find(value, report)?.position;
            let at = named.iter().position(|one| one.position == wanted);
            if at.is_none() {
                value.error(Problem::new("it is not among them", "name one of all"), report);
            }
            at
        }
        None => agreed(&named, value, report),
    };
    Ok(Branch { members: named.iter().map(|one| one.position).collect(), identity: identity.unwrap_or(0) })
}

/// Whose consumer calls where that is not said: all that have one must have the same.
fn agreed(named: &[Named], value: &Value<'_>, report: &mut Report) -> Option<usize> {
    let mut known = named.iter().enumerate().filter_map(|(at, one)| Some((at, one.consumer?)));
    let (at, consumer) = known.next()?;
    if known.any(|(_, other)| other != consumer) {
        let help = r#"write { all = ["…", "…"], identity = "…" }: the consumer of that one is who calls"#;
        let message = "credentials that are asked for together belong to different consumers";
        value.error(Problem::new(message, help), report);
    }
    Some(at)
}
