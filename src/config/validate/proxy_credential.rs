//! `[[credential]]` with `type = "proxy"`: what callers present, and where.

use std::sync::Arc;

use super::{
    super::{
        Severity,
        outside::Outside,
        plan::{Consumer, Location, ProxyCredential},
        raw::Table,
        report::{Problem, Report},
    },
    client::{self, Clients},
    directory::Directory,
    field, key_files,
    keys::{self, Keys},
    rule,
};

/// Most places in which one credential is looked for.
const LOCATIONS_MAX: usize = 8;

/// A proxy credential, and why it cannot be used if that is so.
pub(super) struct Read {
    pub credential: ProxyCredential,
    pub broken: Option<String>,
}

/// Reads what follows `name` and `type`.
pub(super) fn proxy_credential(
    table: &mut Table<'_>,
    name: &str,
    consumers: &Directory<Consumer>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Read {
    let words = [("key", false), ("apiKey", false), ("mtls", true)];
    let auth = table.require("auth", r#"write auth = "key""#, report);
    let by_certificate = auth.and_then(|value| field::choice(&value, &words, report)).unwrap_or(false);
    let mut broken = None;
    let consumer = consumer(table, consumers, &mut broken, report);
    if by_certificate {
        let Clients { authorities, list } = client::clients(table, outside, report);
        let (name, consumer) = (name.to_owned(), consumer.map(|(position, _)| position));
        let (locations, keys) = (vec![Location::ClientCertificate], list.into_iter().collect());
        let rules = rule::rules(table, report);
        let credential = ProxyCredential { name, consumer, locations, keys, authorities, rules };
        return Read { credential, broken };
    }
    let locations = locations(table, report);
    let file = table.whole();
    let mut keys = Keys::default();
    let listed = table.take_secret("keys").map(|value| value.list(report)).unwrap_or_default();
    let none_listed = listed.is_empty();
    for value in listed {
        let Some(key) = value.table(report) else { continue };
        let dangling = keys::read(key, &mut keys, outside, report);
        broken = broken.or(dangling);
    }
    let patterns = table.take("key_files").map(|value| value.list(report)).unwrap_or_default();
    let consumer_name = consumer.as_ref().map(|(_, name)| *name);
    let inline = (!keys.is_empty()).then(|| Arc::new(keys.into_list(&report.locate(file))));
    let mut lists: Vec<_> = inline.into_iter().collect();
    let unreadable = key_files::read(&patterns, consumer_name, &mut lists, outside, report);
    broken = broken.or(unreadable);
    if lists.iter().all(|list| list.is_empty()) && none_listed && broken.is_none() {
        let problem =
            Problem::new("the credential has no keys: nobody can use it", "write keys or key_files");
        table.add(Severity::Warning, problem, report);
    }
    let consumer = consumer.map(|(position, _)| position);
    let rules = rule::rules(table, report);
    let name = name.to_owned();
    Read {
        credential: ProxyCredential { name, consumer, locations, keys: lists, authorities: None, rules },
        broken,
    }
}

fn consumer<'a>(
    table: &mut Table<'a>,
    consumers: &Directory<Consumer>,
    broken: &mut Option<String>,
    report: &mut Report,
) -> Option<(usize, &'a str)> {
    let value = table.take("consumer")?;
    let name = value.text(report)?;
    if let Some(position) = consumers.find(name) {
        return Some((position, name));
    }
    let sentence = format!("consumer {name:?} does not exist");
    let help = match consumers.suggest(name) {
        Some(word) => format!("did you mean {word:?}?"),
        None => "write a [[consumer]] with this name".to_owned(),
    };
    value.add(Severity::Broken, Problem::new("there is no such consumer", help), report);
    broken.get_or_insert(sentence);
    None
}

fn locations(table: &mut Table<'_>, report: &mut Report) -> Vec<Location> {
    let defaults = || ["x-api-key", "authorization"].map(|name| Location::Header(name.to_owned())).to_vec();
    let Some(value) = table.take("locations") else { return defaults() };
    let mut locations: Vec<Location> = Vec::new();
    for member in value.list(report) {
        let Some(location) = member.convert(report, location) else { continue };
        if locations.contains(&location) {
            member.error(Problem::plain("the location is written twice"), report);
            continue;
        }
        locations.push(location);
    }
    if value.inner().as_array().is_some_and(|list| list.is_empty() || list.len() > LOCATIONS_MAX) {
        let help = format!(r#"write 1 to {LOCATIONS_MAX}, such as ["header:x-api-key"], or leave it out"#);
        value.error(Problem::new("it has too few or too many members", help), report);
    }
    locations
}

fn location(text: &str) -> Result<Location, Problem> {
    match text.split_once(':') {
        Some(("header", name)) => field::header_name(name).map(Location::Header),
        _ => Err(Problem::new("not a location", r#"write "header:NAME""#)),
    }
}
