//! What the files say → [`Plan`]: every table has its reader here, and every mistake its sentence.
//!
//! Pure: no file, clock or variable is reached except through the [`Outside`] that is passed in. A value that
//! is wrong is reported and replaced by its default, so that reading goes on and finds the rest; the plan
//! leaves this room only if nothing was wrong.

mod access_log;
mod assert;
mod certificate;
mod client;
mod directory;
mod entropy;
mod field;
mod host;
mod key_files;
mod keys;
mod listener;
mod pattern;
mod proxy;
mod proxy_credential;
mod record;
mod rule;
mod secret;
mod security;
mod server;
mod target;
mod target_credential;
mod tls;

pub(super) use entropy::bits as plausible_bits;
pub(super) use listener::endpoint;
pub(super) use server::include;

use self::{
    directory::{Directory, Names},
    proxy::References,
};
use super::{
    Plan, Severity,
    outside::Outside,
    plan::{Consumer, Listener, Location, ProxyCredential, Target, TargetCredential},
    raw::{Table, Tree},
    report::{Problem, Report},
    value,
};

/// Reads all files as one configuration. What is returned counts only if the report has no error.
pub(super) fn validate(trees: &[Tree<'_>], outside: &dyn Outside, report: &mut Report) -> Plan {
    let mut roots: Vec<_> = trees.iter().map(Tree::root).collect();
    let server = server::server(main_only("server", &mut roots, report), report);
    let admin_table = main_only("admin", &mut roots, report);
    let (listeners, admin) =
        server::listeners(all("listener", &mut roots, report), admin_table, outside, report);
    let access_log = access_log::access_log(main_only("access_log", &mut roots, report), report);
    let targets = targets(all("target", &mut roots, report), outside, report);
    let consumers = consumers(all("consumer", &mut roots, report), report);
    let mut credentials = credentials(all("credential", &mut roots, report), &consumers, outside, report);
    let proxy_tables = all("proxy", &mut roots, report);
    if proxy_tables.is_empty()
        && let Some(root) = roots.first()
    {
        let problem =
            Problem::new("no proxy is defined: every request is answered with 404", "write a [[proxy]]");
        report.add(Severity::Warning, root.whole(), None, None, problem);
    }
    warn_of_unasked(&credentials.proxy, &listeners, report);
    let references = References { targets: &targets, credentials: &mut credentials };
    let proxies = proxy::proxies(proxy_tables, references, report);
    let asserts = assert::asserts(all("assert", &mut roots, report), &credentials.proxy, report);
    credentials.warn_of_unused(report);
    roots.into_iter().for_each(|root| root.finish(report));
    Plan {
        server,
        listeners,
        admin,
        access_log,
        targets: targets.into_objects(),
        consumers: consumers.into_objects(),
        proxy_credentials: credentials.proxy.into_objects(),
        target_credentials: credentials.target.into_objects(),
        proxies,
        asserts,
    }
}

/// Both sorts of credentials; they share one space of names.
struct Credentials {
    names: Names,
    proxy: Directory<ProxyCredential>,
    target: Directory<TargetCredential>,
}

impl Credentials {
    fn warn_of_unused(&self, report: &mut Report) {
        for (name, place) in self.proxy.unused().chain(self.target.unused()) {
            let problem = Problem::plain("no proxy uses this credential");
            let value = Some(format!("{name:?}"));
            report.add(Severity::Warning, place, Some("credential.name".to_owned()), value, problem);
        }
    }
}

/// The tables of one list in all files.
fn all<'a>(key: &'static str, roots: &mut [Table<'a>], report: &mut Report) -> Vec<Table<'a>> {
    roots.iter_mut().flat_map(|root| root.tables(key, report)).collect()
}

/// A table that only the main file may have.
fn main_only<'a>(key: &'static str, roots: &mut [Table<'a>], report: &mut Report) -> Option<Table<'a>> {
    let mut found = None;
    for root in roots {
        let Some(value) = root.take(key) else { continue };
        if root.source().main {
            found = value.table(report);
        } else {
            let help = format!("move [{key}] to the file that includes this one");
            value.error(Problem::new("an included file may not have it", help), report);
        }
    }
    found
}

fn targets(tables: Vec<Table<'_>>, outside: &dyn Outside, report: &mut Report) -> Directory<Target> {
    let mut names = Names::default();
    let mut targets = Directory::default();
    for mut table in tables {
        let name = names.claim(&mut table, report);
        let target = target::target(&mut table, &name.text, outside, report);
        table.finish(report);
        targets.declare(name, target, None);
    }
    targets
}

fn consumers(tables: Vec<Table<'_>>, report: &mut Report) -> Directory<Consumer> {
    let mut names = Names::default();
    let mut consumers = Directory::default();
    for mut table in tables {
        let name = names.claim(&mut table, report);
        let legacy_id = table.take("legacy_id").and_then(|value| value.convert(report, value::name));
        let scopes = rule::scopes(&mut table, report);
        table.finish(report);
        let consumer = Consumer { name: name.text.clone(), legacy_id, scopes };
        consumers.declare(name, consumer, None);
    }
    consumers
}

fn credentials(
    tables: Vec<Table<'_>>,
    consumers: &Directory<Consumer>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Credentials {
    let mut found =
        Credentials { names: Names::default(), proxy: Directory::default(), target: Directory::default() };
    for mut table in tables {
        let name = found.names.claim(&mut table, report);
        let help = r#"write type = "proxy" for what callers present, or "target" for what the API receives"#;
        let Some(kind) = table.require("type", help, report) else { continue };
        match kind.text(report) {
            Some("proxy") => {
                let read =
                    proxy_credential::proxy_credential(&mut table, &name.text, consumers, outside, report);
                table.finish(report);
                found.proxy.declare(name, read.credential, read.broken);
            }
            Some("target") => {
                let read = target_credential::target_credential(&mut table, &name.text, outside, report);
                table.finish(report);
                found.target.declare(name, read.credential, read.broken);
            }
            Some(_) => kind.error(Problem::new("not a type of credential", help), report),
            None => {}
        }
    }
    found
}

/// Credentials of client certificates that no caller can show.
fn warn_of_unasked(credentials: &Directory<ProxyCredential>, listeners: &[Listener], report: &mut Report) {
    if listeners.iter().any(|one| one.tls.as_ref().is_some_and(|tls| tls.client.is_some())) {
        return;
    }
    for (name, place, credential) in credentials.objects() {
        if credential.locations.contains(&Location::ClientCertificate) {
            let message = "no listener asks callers for the certificates that this credential knows them by";
            let problem = Problem::new(message, r#"write client_ca = "callers-ca.pem" in [listener.tls]"#);
            let key = Some("credential.name".to_owned());
            report.add(Severity::Warning, place, key, Some(format!("{name:?}")), problem);
        }
    }
}
