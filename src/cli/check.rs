//! `keyferry check`: everything that is wrong with the configuration, and what each proxy does.

use std::{path::Path, process::ExitCode, sync::Arc};

use super::{print, rules};
use crate::{
    compile::{Compiler, Epoch},
    config::{
        self, Diagnostic, Loaded, Plan, Severity,
        plan::{Branch, Proxy},
    },
    explain::{failed_asserts, rehearsal},
    store::Revocations,
};

/// Reads the configuration and prints what was found.
pub(super) fn run(path: &Path) -> ExitCode {
    let mut text = String::new();
    let complete = match config::load(path, &|name| std::env::var(name).ok()) {
        Ok(Loaded { plan, mut diagnostics, .. }) => {
            let plan = Arc::new(plan);
            diagnostics.extend(config::lint(&plan));
            match Compiler::default().compile(&plan, Epoch::FIRST) {
                Ok(compiled) => {
                    diagnostics.extend(failed_asserts(&plan, &rehearsal(&compiled, &Revocations::default())))
                }
                Err(found) => diagnostics.extend(found),
            }
            list(&mut text, &diagnostics);
            summarise(&mut text, &plan);
            count(&mut text, &diagnostics)
        }
        Err(diagnostics) => {
            list(&mut text, &diagnostics);
            count(&mut text, &diagnostics)
        }
    };
    let printed = print(&text);
    if complete { printed } else { ExitCode::FAILURE }
}

fn list(text: &mut String, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        text.push_str(&format!("{diagnostic}\n"));
    }
    if !diagnostics.is_empty() {
        text.push('\n');
    }
}

fn summarise(text: &mut String, plan: &Plan) {
    for listener in &plan.listeners {
        text.push_str(&format!("listener {}\n", listener.address));
    }
    if let Some(admin) = &plan.admin {
        text.push_str(&format!("admin {}\n", admin.address));
    }
    for proxy in &plan.proxies {
        text.push_str(&format!("proxy {}\n", describe(proxy, plan)));
        rules::list(text, proxy, plan);
    }
}

/// `crm → http://api.example/base, bearer-v2; payments (1 key), partners (1000 keys)`
fn describe(proxy: &Proxy, plan: &Plan) -> String {
    let route = match &proxy.route {
        Ok(route) => route,
        Err(sentence) => return format!("{}: out of service: {sentence}", proxy.label),
    };
    let target = plan.targets.get(route.target).map_or_else(String::new, |target| {
        let scheme = if target.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", target.authority, target.base_path)
    });
    let presents = route.target_credential.and_then(|position| plan.target_credentials.get(position));
    let presents = presents.map_or("no target credential", |credential| &credential.name);
    let credential = |position: &usize| {
        let credential = plan.proxy_credentials.get(*position)?;
        Some(format!("{} ({})", credential.name, plural(credential.key_count(), "key")))
    };
    let all_of = |branch: &Branch| {
        branch.members.iter().filter_map(credential).collect::<Vec<_>>().join(" together with ")
    };
    let accepted: Vec<_> = match route.security.branches.as_slice() {
        [] => vec!["everybody".to_owned()],
        branches => branches.iter().map(all_of).collect(),
    };
    let inactive = if proxy.active { "" } else { " [not active]" };
    format!(
        "{}{inactive} → {target}\n    accepts {}\n    presents {presents}",
        proxy.label,
        accepted.join(", ")
    )
}

/// Says how it stands; true if nothing is wrong or broken.
fn count(text: &mut String, diagnostics: &[Diagnostic]) -> bool {
    let of = |severity| diagnostics.iter().filter(|found| found.severity == severity).count();
    let (errors, broken, warnings) = (of(Severity::Error), of(Severity::Broken), of(Severity::Warning));
    text.push_str(&format!(
        "{}, {broken} broken, {}\n",
        plural(errors, "error"),
        plural(warnings, "warning")
    ));
    errors == 0 && broken == 0
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}
