//! Tests of authentication, on snapshots made by hand.

use std::sync::Arc;

use super::authenticate;
use crate::{
    policy::{Now, Unwatched, Watch},
    protocol::{
        h1::parse_request,
        http::{FieldTable, HeadLimits},
    },
    snapshot::{
        Branch, Callers, Credential, KeyEntry, Location, LocationKind, NameSet, Proxy, ProxyRules,
        ProxySeries, Revoked, Routes, ScopeBits, Security, Serving, Snapshot, UpstreamId,
    },
    types::{KeyState, Reason, Secret, Window},
};

const NOW: i64 = 1_000_000;

fn digest(key: &str) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref().try_into().expect("32 bytes")
}

fn snapshot(keys: &[(&str, u32, KeyState, Window)]) -> Snapshot {
    let entry = |&(key, credential, state, window): &(&str, u32, KeyState, Window)| KeyEntry {
        digest: digest(key),
        window,
        credential,
        number: 0,
        state,
    };
    let credential = |number, name: &str| {
        Some(Credential {
            number,
            name: name.into(),
            identity: Box::default(),
            rules: Arc::default(),
            scopes: ScopeBits::default(),
            authorities: None,
        })
    };
    Snapshot {
        generation: 1,
        routes: Arc::new(Routes::default()),
        proxies: Arc::default(),
        credentials: Arc::new([credential(0, "zero"), credential(1, "one")]),
        keys: Arc::new(keys.iter().map(entry).collect()),
        revoked: Arc::new(Revoked::default()),
        upstreams: Arc::default(),
        listeners: Arc::default(),
        callers: Callers {
            head: HeadLimits::default(),
            body_bytes: u64::MAX,
            head_millis: 1,
            body_millis: 1,
            idle_millis: 1,
        },
        series: Arc::default(),
    }
}

/// A proxy that takes `accepted` in `X-API-Key` and `Authorization`, and credential 1 also in `X-Partner-Key`.
fn proxy(accepted: &[u32], branches: &[&[u32]]) -> Proxy {
    let location = |name: &str, kind, credentials: &[u32]| Location {
        name: name.as_bytes().into(),
        kind,
        credentials: credentials.into(),
    };
    Proxy {
        label: "crm".into(),
        serving: Serving::Yes,
        upstream: UpstreamId(0),
        upstream_index: 0,
        websocket: false,
        keep_encoded_slash: false,
        security: Security::new(
            Box::new([
                location("x-api-key", LocationKind::Plain, accepted),
                location("authorization", LocationKind::Authorization, accepted),
                location("x-partner-key", LocationKind::Plain, &[1]),
            ]),
            branches.iter().map(|members| Branch { members: (*members).into(), identity: 0 }).collect(),
            false,
        ),
        stripped: Arc::new(NameSet::default()),
        injected: Secret::new(Vec::new()),
        rules: ProxyRules::default(),
        challenge: Box::default(),
        series: ProxySeries::default(),
    }
}

/// How a request with these fields is identified where any of the credentials lets it in.
fn ask(snapshot: &Snapshot, accepted: &[u32], fields: &str) -> Result<String, Reason> {
    let branches: Vec<&[u32]> = accepted.chunks(1).chain([&[1][..]]).collect();
    ask_branches(snapshot, &proxy(accepted, &branches), fields, &mut Unwatched)
}

fn ask_branches(
    snapshot: &Snapshot,
    proxy: &Proxy,
    fields: &str,
    watch: &mut impl Watch,
) -> Result<String, Reason> {
    let head = format!("GET /crm HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut table = FieldTable::new();
    let head = parse_request(head.as_bytes(), &HeadLimits::default(), &mut table).expect("a valid head");
    let found = authenticate(snapshot, proxy, &head.fields, None, Now(NOW), watch);
    found.map(|identity| identity.credential().map_or("nobody", |credential| &credential.name).to_owned())
}

fn active(key: &str, credential: u32) -> (&str, u32, KeyState, Window) {
    (key, credential, KeyState::Active, Window::ALWAYS)
}

#[test]
fn a_key_is_read_from_each_form_of_each_location() {
    let snapshot = snapshot(&[active("k", 0)]);
    for fields in [
        "X-API-Key: k\r\n",
        "x-api-key:k\r\n",
        "Authorization: k\r\n",
        "Authorization: Bearer k\r\n",
        "Authorization: bearer  k\r\n",
        "authorization: APIKEY k\r\n",
        "X-API-Key: k\r\nX-Api-Key: k\r\n",
    ] {
        assert_eq!(ask(&snapshot, &[0], fields).as_deref(), Ok("zero"), "{fields}");
    }
}

#[test]
fn what_is_no_key_is_missing_or_unknown() {
    let snapshot = snapshot(&[active("k", 0)]);
    let long = format!("X-API-Key: {}\r\n", "k".repeat(5000));
    for (fields, reason) in [
        ("", Reason::CredentialMissing),
        ("X-API-Key:\r\n", Reason::CredentialMissing),
        ("Authorization: Bearer \r\n", Reason::KeyUnknown),
        ("Authorization: Basic a2V5\r\n", Reason::CredentialMissing),
        ("X-API-Key: K\r\n", Reason::KeyUnknown),
        ("X-API-Key: k2\r\n", Reason::KeyUnknown),
        ("X_API_Key: k\r\n", Reason::CredentialMissing),
        (&long, Reason::KeyUnknown),
    ] {
        assert_eq!(ask(&snapshot, &[0], fields), Err(reason), "{fields}");
    }
}

#[test]
fn two_values_in_one_location_are_ambiguous_even_when_another_one_decides() {
    let snapshot = snapshot(&[active("k", 0)]);
    for fields in [
        "X-API-Key: k\r\nX-API-Key: j\r\n",
        "X-API-Key: k\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    ] {
        assert_eq!(ask(&snapshot, &[0], fields), Err(Reason::CredentialAmbiguous), "{fields}");
    }
}

#[test]
fn a_second_location_helps_where_the_first_one_fails() {
    let snapshot = snapshot(&[active("k", 0)]);
    assert_eq!(ask(&snapshot, &[0], "X-API-Key: j\r\nAuthorization: k\r\n").as_deref(), Ok("zero"));
}

#[test]
fn the_proxy_decides_which_credential_of_a_shared_digest_counts() {
    let snapshot = snapshot(&[active("k", 0), active("k", 1)]);
    assert_eq!(ask(&snapshot, &[1], "X-API-Key: k\r\n").as_deref(), Ok("one"));
    assert_eq!(ask(&snapshot, &[0], "X-API-Key: k\r\n").as_deref(), Ok("zero"));
    assert_eq!(ask(&snapshot, &[], "X-API-Key: k\r\n"), Err(Reason::KeyUnknown));
}

#[test]
fn a_key_counts_only_in_the_locations_of_its_credential() {
    let snapshot = snapshot(&[active("k", 0), active("p", 1)]);
    assert_eq!(ask(&snapshot, &[0], "X-Partner-Key: p\r\n").as_deref(), Ok("one"));
    assert_eq!(ask(&snapshot, &[0], "X-Partner-Key: k\r\n"), Err(Reason::KeyUnknown));
    assert_eq!(ask(&snapshot, &[0], "X-API-Key: p\r\n"), Err(Reason::KeyUnknown));
}

#[test]
fn windows_and_states_are_exact() {
    let window = |not_before, expires| Window { not_before, expires };
    for (state, window, expected) in [
        (KeyState::Active, window(NOW, NOW + 1), Ok("zero".to_owned())),
        (KeyState::Deprecated, Window::ALWAYS, Ok("zero".to_owned())),
        (KeyState::Active, window(NOW + 1, i64::MAX), Err(Reason::KeyNotYetValid)),
        (KeyState::Active, window(i64::MIN, NOW), Err(Reason::KeyExpired)),
        (KeyState::Pending, Window::ALWAYS, Err(Reason::KeyNotYetValid)),
        (KeyState::Retired, Window::ALWAYS, Err(Reason::KeyRetired)),
        (KeyState::Revoked, window(i64::MIN, NOW), Err(Reason::KeyRevoked)),
    ] {
        let snapshot = snapshot(&[("k", 0, state, window)]);
        assert_eq!(ask(&snapshot, &[0], "X-API-Key: k\r\n"), expected, "{state:?} {window:?}");
    }
}

#[test]
fn a_live_entry_of_a_digest_outweighs_a_dead_one() {
    let dead = ("k", 0, KeyState::Retired, Window::ALWAYS);
    assert_eq!(ask(&snapshot(&[dead, active("k", 1)]), &[0, 1], "X-API-Key: k\r\n").as_deref(), Ok("one"));
}

/// What a decision tells of its branches.
#[derive(Default)]
struct Branches {
    lost: Vec<(usize, Reason)>,
    won: Option<usize>,
}

impl Watch for Branches {
    fn branch_lost(&mut self, branch: usize, reason: Reason) {
        self.lost.push((branch, reason));
    }

    fn branch_won(&mut self, branch: usize) {
        self.won = Some(branch);
    }
}

#[test]
fn the_first_branch_that_is_satisfied_decides_and_the_others_say_why_they_do_not() {
    let retired = ("r", 0, KeyState::Retired, Window::ALWAYS);
    let snapshot = snapshot(&[active("k", 0), retired, active("p", 1)]);
    let both = proxy(&[0], &[&[0, 1], &[1], &[0]]);
    let (key, partner) = ("X-API-Key: k\r\n", "X-Partner-Key: p\r\n");
    let (incomplete, missing) = (Reason::CredentialIncomplete, Reason::CredentialMissing);
    for (fields, name, won, lost) in [
        ([key, partner], Ok("zero"), Some(0), &[][..]),
        ([partner, ""], Ok("one"), Some(1), &[(0, incomplete)]),
        ([key, ""], Ok("zero"), Some(2), &[(0, incomplete), (1, missing)]),
        (["X-API-Key: r\r\n", partner], Ok("one"), Some(1), &[(0, Reason::KeyRetired)]),
        (
            ["X-API-Key: r\r\n", "X-Partner-Key: q\r\n"],
            Err(Reason::KeyRetired),
            None,
            &[(0, Reason::KeyRetired), (1, Reason::KeyUnknown), (2, Reason::KeyRetired)],
        ),
        (["", ""], Err(missing), None, &[(0, missing), (1, missing), (2, missing)]),
    ] {
        let mut told = Branches::default();
        let found = ask_branches(&snapshot, &both, &fields.concat(), &mut told);
        assert_eq!(found, name.map(str::to_owned), "{fields:?}");
        assert_eq!((told.won, told.lost.as_slice()), (won, lost), "{fields:?}");
    }
}

#[test]
fn what_is_asked_for_together_is_missed_by_name() {
    let snapshot = snapshot(&[active("k", 0), active("p", 1)]);
    let both = proxy(&[0], &[&[0, 1]]);
    for (fields, reason) in [
        ("X-API-Key: k\r\n", Reason::CredentialIncomplete),
        ("X-Partner-Key: p\r\n", Reason::CredentialIncomplete),
        ("X-API-Key: k\r\nX-Partner-Key: q\r\n", Reason::KeyUnknown),
        ("", Reason::CredentialMissing),
    ] {
        assert_eq!(ask_branches(&snapshot, &both, fields, &mut Unwatched), Err(reason), "{fields}");
    }
}

#[test]
fn where_nobody_is_asked_for_anything_everybody_comes_in() {
    let snapshot = snapshot(&[active("k", 0)]);
    for fields in ["", "X-API-Key: k\r\n", "X-API-Key: nonsense\r\n"] {
        assert_eq!(
            ask_branches(&snapshot, &proxy(&[], &[]), fields, &mut Unwatched).as_deref(),
            Ok("nobody")
        );
    }
}
