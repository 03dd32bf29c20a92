//! `[[proxy]]`: under which names it is reached, whom it lets in, and where it leads.
//!
//! A reference that leads nowhere is no error: the proxy carries the sentence that says so, and the others work.

use std::collections::HashMap;

use super::{
    super::{
        Severity,
        plan::{Proxy, ProxyRoute, Target},
        raw::{Table, Value},
        report::{Place, Problem, Report},
    },
    Credentials,
    directory::Directory,
    field, host, rule,
    security::{self, Named},
};
use crate::limits;

/// Most host names of one proxy.
const MEMBERS_MAX: usize = 1_000;

/// What proxies refer to.
pub(super) struct References<'a> {
    /// `target`.
    pub targets: &'a Directory<Target>,
    /// `target_credential`, `security` and `proxy_credentials`.
    pub credentials: &'a mut Credentials,
}

/// Reads every proxy.
pub(super) fn proxies(tables: Vec<Table<'_>>, references: References<'_>, report: &mut Report) -> Vec<Proxy> {
    let mut reader = Reader { references, segments: HashMap::new(), hosts: HashMap::new(), report };
    tables.into_iter().map(|table| reader.proxy(table)).collect()
}

struct Reader<'a> {
    references: References<'a>,
    /// First path segments that lead somewhere: aliases and ids share them.
    segments: HashMap<String, Place>,
    hosts: HashMap<String, Place>,
    report: &'a mut Report,
}

/// A sort of object that a proxy refers to, for sentences.
#[derive(Clone, Copy)]
struct Sort {
    noun: &'static str,
    declared: &'static str,
}

const TARGET: Sort = Sort { noun: "target", declared: "[[target]]" };
const TARGET_CREDENTIAL: Sort =
    Sort { noun: "target credential", declared: r#"[[credential]] of type = "target""# };
const PROXY_CREDENTIAL: Sort =
    Sort { noun: "proxy credential", declared: r#"[[credential]] of type = "proxy""# };

impl Reader<'_> {
    fn proxy(&mut self, mut table: Table<'_>) -> Proxy {
        let alias = table.take("alias").map(|value| self.segment(&value).unwrap_or_default());
        let (hosts, hosts_written) = self.hosts(&mut table);
        let id = table.take("id").map(|value| self.segment(&value).unwrap_or_default());
        let label = alias.clone().or_else(|| hosts.first().cloned()).or_else(|| id.clone());
        if label.is_none() && !hosts_written {
            let problem = Problem::new("the proxy cannot be reached", "write alias, host or id");
            table.error(problem, self.report);
        }
        let route = self.route(&mut table);
        let proxy = Proxy {
            label: label.unwrap_or_default(),
            id,
            alias,
            hosts,
            active: field::boolean(&mut table, "active", true, self.report),
            websocket: self.upgrades(&mut table),
            pass_preflight: self.preflight(&mut table),
            keep_encoded_slash: self.encoded_slash(&mut table),
            rules: rule::rules_of_proxy(&mut table, self.report),
            origin: table.origin(self.report),
            route,
        };
        table.finish(self.report);
        proxy
    }

    /// A first path segment that no other proxy has.
    fn segment(&mut self, value: &Value<'_>) -> Option<String> {
        let text = value.convert(self.report, segment)?;
        claim(&mut self.segments, text.to_owned(), value, self.report)
    }

    /// The host names, and whether any were written, right or wrong.
    fn hosts(&mut self, table: &mut Table<'_>) -> (Vec<String>, bool) {
        let (one, many) = (table.take("host"), table.take("hosts"));
        if let (Some(_), Some(many)) = (&one, &many) {
            many.error(Problem::new("host is written too", "write one of the two"), self.report);
        }
        let listed = many.map(|value| self.members(&value)).unwrap_or_default();
        let (mut hosts, mut written) = (Vec::new(), false);
        for value in one.into_iter().chain(listed) {
            written = true;
            let name = value.convert(self.report, host::host_name);
            hosts.extend(name.and_then(|name| claim(&mut self.hosts, name, &value, self.report)));
        }
        (hosts, written)
    }

    /// Every reference is looked at, so that all that is missing is told; the first that fails is the reason.
    fn route(&mut self, table: &mut Table<'_>) -> Result<ProxyRoute, String> {
        let target = table.require("target", r#"write target = "…", the name of a [[target]]"#, self.report);
        let target = target.map(|value| self.target(&value));
        let target_credential = table.take("target_credential").map(|value| self.target_credential(&value));
        let credentials = &mut *self.references.credentials;
        let mut find = |value: &Value<'_>, report: &mut Report| proxy_credential(value, credentials, report);
        let security = security::security(table, &mut find, self.report);
        Ok(ProxyRoute {
            target: target.unwrap_or_else(|| Err("it has no target".to_owned()))?,
            target_credential: target_credential.transpose()?,
            security: security?,
        })
    }

    fn target(&mut self, value: &Value<'_>) -> Result<usize, String> {
        let name = self.name_of(value)?;
        let targets = self.references.targets;
        targets.find(name).ok_or_else(|| dangling(value, name, TARGET, targets.suggest(name), self.report))
    }

    fn target_credential(&mut self, value: &Value<'_>) -> Result<usize, String> {
        let name = self.name_of(value)?;
        let Credentials { names, proxy, target } = &mut *self.references.credentials;
        match target.refer(name) {
            Some(Ok(position)) => Ok(position),
            Some(Err(why)) => Err(out_of_service(value, name, TARGET_CREDENTIAL, why, self.report)),
            None if proxy.find(name).is_some() => {
                Err(other_type(value, name, TARGET_CREDENTIAL, self.report))
            }
            None if names.has(name) => Err(unreadable(name)),
            None => Err(dangling(value, name, TARGET_CREDENTIAL, target.suggest(name), self.report)),
        }
    }

    fn upgrades(&mut self, table: &mut Table<'_>) -> bool {
        let Some(value) = table.take("upgrades") else { return false };
        let members = self.members(&value);
        let read = |member: &Value<'_>| field::choice(member, &[("websocket", ())], self.report);
        members.iter().filter_map(read).count() > 0
    }

    fn encoded_slash(&mut self, table: &mut Table<'_>) -> bool {
        let Some(value) = table.take("encoded_slash") else { return false };
        field::choice(&value, &[("refuse", false), ("keep", true)], self.report).unwrap_or(false)
    }

    fn members<'a>(&mut self, value: &Value<'a>) -> Vec<Value<'a>> {
        let members = value.list(self.report);
        if members.len() > MEMBERS_MAX {
            value.error(Problem::plain(format!("it has more than {MEMBERS_MAX} members")), self.report);
            return Vec::new();
        }
        members
    }

    fn name_of<'a>(&mut self, value: &Value<'a>) -> Result<&'a str, String> {
        name_of(value, self.report)
    }

    fn preflight(&mut self, table: &mut Table<'_>) -> bool {
        let Some(value) = table.take("preflight") else { return false };
        field::choice(&value, &[("judge", false), ("pass", true)], self.report).unwrap_or(false)
    }
}

fn name_of<'a>(value: &Value<'a>, report: &mut Report) -> Result<&'a str, String> {
    value.text(report).ok_or_else(|| "a reference of it is not a name".to_owned())
}

fn proxy_credential(
    value: &Value<'_>,
    credentials: &mut Credentials,
    report: &mut Report,
) -> Result<Named, String> {
    let name = name_of(value, report)?;
    let Credentials { names, proxy, target } = credentials;
    match proxy.refer(name) {
        Some(Ok(position)) => {
            let consumer = proxy.get(position).and_then(|credential| credential.consumer);
            Ok(Named { position, consumer })
        }
        Some(Err(why)) => Err(out_of_service(value, name, PROXY_CREDENTIAL, why, report)),
        None if target.find(name).is_some() => Err(other_type(value, name, PROXY_CREDENTIAL, report)),
        None if names.has(name) => Err(unreadable(name)),
        None => Err(dangling(value, name, PROXY_CREDENTIAL, proxy.suggest(name), report)),
    }
}

/// One path segment that needs no encoding and cannot be taken for a dot segment.
fn segment(text: &str) -> Result<&str, Problem> {
    let unreserved = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if !unreserved || text == "." || text == ".." || !(1..=limits::NAME_BYTES_MAX).contains(&text.len()) {
        let help = format!(
            "write 1 to {} letters, digits or any of - . _ ~, without slashes",
            limits::NAME_BYTES_MAX
        );
        return Err(Problem::new("not one path segment", help));
    }
    Ok(text)
}

fn claim(
    taken: &mut HashMap<String, Place>,
    name: String,
    value: &Value<'_>,
    report: &mut Report,
) -> Option<String> {
    if let Some(first) = taken.get(&name) {
        let message = format!("it already leads to the proxy at {}", report.locate(*first));
        value.error(Problem::new(message, "give each proxy its own"), report);
        return None;
    }
    taken.insert(name.clone(), value.place());
    Some(name)
}

fn dangling(value: &Value<'_>, name: &str, sort: Sort, near: Option<&str>, report: &mut Report) -> String {
    let help = match near {
        Some(word) => format!("did you mean {word:?}?"),
        None => format!("write a {} with this name", sort.declared),
    };
    value.add(Severity::Broken, Problem::new(format!("there is no such {}", sort.noun), help), report);
    format!("{} {name:?} does not exist", sort.noun)
}

fn other_type(value: &Value<'_>, name: &str, sort: Sort, report: &mut Report) -> String {
    let help = format!("name a {}", sort.declared);
    value.add(Severity::Broken, Problem::new(format!("this is no {}", sort.noun), help), report);
    format!("{name:?} is no {}", sort.noun)
}

fn out_of_service(value: &Value<'_>, name: &str, sort: Sort, why: &str, report: &mut Report) -> String {
    let sentence = format!("{} {name:?} cannot be used: {why}", sort.noun);
    value.add(Severity::Broken, Problem::plain(format!("the credential cannot be used: {why}")), report);
    sentence
}

/// The credential itself is in the report already.
fn unreadable(name: &str) -> String {
    format!("credential {name:?} cannot be read")
}
