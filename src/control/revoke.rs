//! From what an operator calls a key or a credential to what is to be revoked.

use super::command::{Revoke, RevokeRefusal};
use crate::{config::plan::Plan, store::Revocation, types::Digest};

/// Names that an answer lists.
const CHOICES_MAX: usize = 10;

/// What `what` stands for in a plan, and whether the plan knows it at all.
pub(super) fn find(what: &Revoke, plan: &Plan) -> Result<(Vec<Revocation>, bool), RevokeRefusal> {
    match what {
        Revoke::Digest(digest) => {
            let known = by_digest(plan, digest);
            let is_known = !known.is_empty();
            let unknown = || vec![Revocation::Key { digest: *digest, credential: None, id: None }];
            Ok((if is_known { known } else { unknown() }, is_known))
        }
        Revoke::Name(name) => by_name(plan, name).map(|found| (vec![found], true)),
    }
}

/// A digest is revoked once, wherever it stands; where it stands is for people.
fn by_digest(plan: &Plan, digest: &Digest) -> Vec<Revocation> {
    let found = plan.proxy_credentials.iter().flat_map(|credential| {
        let lists = credential.keys.iter().filter_map(|list| list.find(digest));
        lists.map(|key| (credential.name.clone(), key.id().map(str::to_owned)))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found.dedup();
    let key = |(credential, id)| Revocation::Key { digest: *digest, credential: Some(credential), id };
    found.into_iter().map(key).collect()
}

fn by_name(plan: &Plan, name: &str) -> Result<Revocation, RevokeRefusal> {
    let mut choices: Vec<(String, Revocation)> = Vec::new();
    let (within, id) = match name.rsplit_once('/') {
        Some((credential, id)) if plan.proxy_credentials.iter().any(|one| one.name == credential) => {
            (Some(credential), id)
        }
        _ => (None, name),
    };
    for credential in &plan.proxy_credentials {
        if credential.name == name {
            let sentence = format!("credential {name}");
            choices.push((sentence, Revocation::Credential { name: name.to_owned() }));
        }
        if within.is_some_and(|within| within != credential.name) {
            continue;
        }
        for key in credential.keys().filter(|key| key.id() == Some(id)) {
            let revocation = Revocation::Key {
                digest: *key.digest,
                credential: Some(credential.name.clone()),
                id: Some(id.to_owned()),
            };
            choices.push((format!("key {}/{id}", credential.name), revocation));
        }
    }
    match choices.len() {
        0 => Err(RevokeRefusal::Unknown),
        1 => Ok(choices.remove(0).1),
        _ => {
            let names = choices.into_iter().take(CHOICES_MAX).map(|(sentence, _)| sentence).collect();
            Err(RevokeRefusal::Ambiguous(name.to_owned(), names))
        }
    }
}

/// One line that says what was revoked.
pub(super) fn sentence(revocation: &Revocation) -> String {
    match revocation {
        Revocation::Key { credential: Some(credential), id: Some(id), .. } => {
            format!("key {credential}/{id}")
        }
        Revocation::Key { credential: Some(credential), id: None, .. } => {
            format!("a key of {credential} that has no id")
        }
        Revocation::Key { credential: None, .. } => "a key that no credential has at present".to_owned(),
        Revocation::Record { credential, id: Some(id), .. } => format!("key {credential}/{id}"),
        Revocation::Record { credential, id: None, .. } => format!("a key of {credential} that has no id"),
        Revocation::Credential { name } => format!("credential {name} with all its keys"),
    }
}
