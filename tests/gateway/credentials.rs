//! Keys: where they may stand, which are accepted, and how a refusal reads (RFC 9110 §11).

use crate::{
    both_drivers,
    common::{
        Answer, Api, Config, Gateway, KEY,
        config::{credential, key, proxy_table},
        digest,
        message::latin,
    },
};

both_drivers!(
    where_a_key_may_stand,
    missing,
    unknown,
    in_every_state,
    two_in_one_place,
    the_proxy_decides_which_credential_counts,
    a_location_of_its_own,
    lists_of_digests,
    what_the_api_receives,
);

/// The answer to a GET with these lines and no key besides.
#[track_caller]
fn with(gateway: &Gateway, lines: &str) -> Answer {
    gateway.ask(format!("GET /crm/x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n").as_bytes())
}

fn where_a_key_may_stand(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for lines in [
        format!("X-API-Key: {KEY}\r\n"),
        format!("x-api-key:{KEY}\r\n"),
        format!("X-API-KEY:  {KEY} \t\r\n"),
        format!("Authorization: {KEY}\r\n"),
        format!("Authorization: Bearer {KEY}\r\n"),
        format!("authorization: bearer {KEY}\r\n"),
        format!("AUTHORIZATION: BEARER {KEY}\r\n"),
        format!("Authorization: ApiKey {KEY}\r\n"),
        format!("Authorization: apikey {KEY}\r\n"),
    ] {
        let answer = with(&gateway, &lines);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn missing(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for lines in ["", "X-API-Key:\r\n", "X-API-Key: \t \r\n", "X-Other: x\r\n"] {
        let answer = with(&gateway, lines);
        answer.refused(401, "credential-missing");
        challenges(&answer);
    }
    for lines in [format!("X_API_Key: {KEY}\r\n"), format!("Cookie: x-api-key={KEY}\r\n")] {
        with(&gateway, &lines).refused(401, "credential-missing");
    }
    let query = gateway.ask(format!("GET /crm/x?x-api-key={KEY} HTTP/1.1\r\nHost: gw\r\n\r\n").as_bytes());
    query.refused(401, "credential-missing");
    assert_eq!(api.count(), 0);
}

/// RFC 9110 §11.6.1: a 401 carries a challenge for each way to answer it.
#[track_caller]
fn challenges(answer: &Answer) {
    let challenges = answer.head.all("www-authenticate").join(", ");
    assert!(challenges.contains("ApiKey realm=\"crm\""), "{challenges:?}");
    assert!(challenges.contains("Bearer"), "{challenges:?}");
}

fn unknown(driver: &str) {
    let api = Api::plain();
    let mut gateway = Gateway::start(driver, &Config::to(&api));
    gateway.keep_secret("not-a-key-of-anybody");
    let longer = format!("X-API-Key: {KEY}x\r\n");
    let shorter = format!("X-API-Key: {}\r\n", &KEY[..KEY.len() - 1]);
    let digest = format!("X-API-Key: {}\r\n", digest(KEY));
    let upper = format!("X-API-Key: {}\r\n", KEY.to_uppercase());
    for lines in [
        "X-API-Key: not-a-key-of-anybody\r\n",
        "Authorization: Bearer not-a-key-of-anybody\r\n",
        &format!("X-API-Key: {KEY}, {KEY}\r\n"),
        &format!("X-API-Key: {KEY} {KEY}\r\n"),
        &format!("X-API-Key: \"{KEY}\"\r\n"),
        &format!("X-API-Key: Bearer {KEY}\r\n"),
        &upper,
        &longer,
        &shorter,
        &digest,
        "X-API-Key: \u{e9}\r\n",
    ] {
        let answer = with(&gateway, lines);
        answer.refused(401, "key-unknown");
        challenges(&answer);
        assert!(!answer.text().contains("not-a-key"), "{}", answer.text());
    }
    assert_eq!(api.count(), 0);
}

fn in_every_state(driver: &str) {
    let api = Api::plain();
    let rows = [
        ("second", "", Ok(())),
        ("active", ", state = \"active\"", Ok(())),
        ("deprecated", ", state = \"deprecated\"", Ok(())),
        ("pending", ", state = \"pending\"", Err("key-not-yet-valid")),
        ("early", ", not_before = 2999-01-01T00:00:00Z", Err("key-not-yet-valid")),
        ("late", ", expires = 2001-01-01T00:00:00Z", Err("key-expired")),
        ("retired", ", state = \"retired\"", Err("key-retired")),
        ("revoked", ", state = \"revoked\"", Err("key-revoked")),
        ("in time", ", not_before = 2001-01-01T00:00:00Z, expires = 2999-01-01T00:00:00Z", Ok(())),
    ];
    let secret = |id: &str| format!("key-of-state-{}-8Kd2Ws", id.replace(' ', "-"));
    let keys: Vec<_> = rows.iter().map(|(id, more, _)| key(id, &secret(id), more)).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let more =
        credential("many", "consumer = \"payments\"", &keys) + &proxy_table("alias = \"many\"", "many");
    let mut gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    for (id, _, expected) in rows {
        gateway.keep_secret(&secret(id));
        let answer = gateway
            .ask(format!("GET /many/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: {}\r\n\r\n", secret(id)).as_bytes());
        match expected {
            Ok(()) => assert_eq!(answer.status, 200, "{id}: {}", answer.text()),
            Err(word) => answer.refused(401, word),
        }
    }
    assert_eq!(api.count(), 4);
}

fn two_in_one_place(driver: &str) {
    let api = Api::plain();
    let gateway = Gateway::start(driver, &Config::to(&api));
    for lines in [
        format!("X-API-Key: {KEY}\r\nX-API-Key: other\r\n"),
        format!("X-API-Key: other\r\nX-API-Key: {KEY}\r\n"),
        format!("x-api-key: {KEY}\r\nX-A: b\r\nX-API-KEY: {KEY}x\r\n"),
        format!("Authorization: Bearer {KEY}\r\nAuthorization: Bearer other\r\n"),
    ] {
        with(&gateway, &lines).refused(400, "credential-ambiguous");
    }
    assert_eq!(api.count(), 0);
    let equal = with(&gateway, &format!("X-API-Key: {KEY}\r\nX-API-Key: {KEY}\r\n"));
    assert_eq!(equal.status, 200, "{}", equal.text());
}

/// One digest may be registered under two credentials.
fn the_proxy_decides_which_credential_counts(driver: &str) {
    let api = Api::plain();
    let more = credential("partners", "", &[&key("p1", KEY, "")])
        + &proxy_table("alias = \"partners\"", "partners")
        + &credential(
            "others",
            "",
            &[&key("o1", "other-key-6Hn3Zt", ""), &key("o2", KEY, ", state = \"revoked\"")],
        )
        + &proxy_table("alias = \"others\"", "others");
    let gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    for (path, id) in [("/crm/x", "callers"), ("/partners/x", "partners")] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert_eq!(api.only().head.one("x-credential-id"), id);
    }
    assert_eq!(gateway.get("/others/x").status, 401, "revoked there");
    let lines = "X-API-Key: other-key-6Hn3Zt\r\n";
    with(&gateway, lines).refused(401, "key-unknown");
}

fn a_location_of_its_own(driver: &str) {
    let api = Api::plain();
    let more = credential("special", "locations = [\"header:x-partner-key\"]", &[&key("s1", KEY, "")])
        + &proxy_table("alias = \"special\"", "special");
    let gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    let ask =
        |lines: &str| gateway.ask(format!("GET /special/x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n").as_bytes());
    let answer = ask(&format!("X-Partner-Key: {KEY}\r\n"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!latin(&api.only().head.raw).contains(KEY));
    ask(&format!("X-API-Key: {KEY}\r\n")).refused(401, "credential-missing");
    ask(&format!("Authorization: Bearer {KEY}\r\n")).refused(401, "credential-missing");
}

fn lists_of_digests(driver: &str) {
    let api = Api::plain();
    let more = "[[credential]]\nname = \"listed\"\ntype = \"proxy\"\nauth = \"key\"\n\
                key_files = [\"listed.sha256\"]\n"
        .to_string()
        + &proxy_table("alias = \"listed\"", "listed");
    let secrets: Vec<_> = (0..1000).map(|n| format!("listed-key-{n}-3Gf9Qx")).collect();
    let list: String = secrets.iter().map(|secret| digest(secret) + "\n").collect();
    let config = Config { more, ..Config::to(&api) };
    let gateway = Gateway::start_with_files(driver, &config, &[("listed.sha256", &list)]);
    for secret in [&secrets[0], &secrets[500], &secrets[999]] {
        let answer = gateway
            .ask(format!("GET /listed/x HTTP/1.1\r\nHost: gw\r\nX-API-Key: {secret}\r\n\r\n").as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(api.only().head.one("x-credential-id"), "listed");
    }
    gateway.get("/listed/x").refused(401, "key-unknown");
}

/// The ways in which an API may be presented its credential.
fn what_the_api_receives(driver: &str) {
    let api = Api::plain();
    let rows = [
        ("key", "auth = \"key\"\nkey = \"target-secret-1\"", Some(("x-api-key", "target-secret-1"))),
        (
            "basic",
            "auth = \"basic\"\nuser = \"u\"\npassword = \"target-secret-2\"",
            Some(("authorization", "Basic dTp0YXJnZXQtc2VjcmV0LTI=")),
        ),
        ("none", "auth = \"none\"", None),
    ];
    let more: String = rows
        .iter()
        .map(|(name, lines, _)| {
            let proxy = proxy_table(&format!("alias = \"{name}\""), "callers");
            format!("[[credential]]\nname = \"t-{name}\"\ntype = \"target\"\n{lines}\n")
                + &proxy.replace("\"upstream\"", &format!("\"t-{name}\""))
        })
        .collect();
    let mut gateway = Gateway::start(driver, &Config { more, ..Config::to(&api) });
    gateway.keep_secret("target-secret");
    for (name, _, expected) in rows {
        let answer = gateway.get(&format!("/{name}/x"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let head = api.only().head;
        let got: Vec<_> = ["x-api-key", "authorization"]
            .into_iter()
            .flat_map(|field| head.all(field).into_iter().map(move |value| (field, value)))
            .collect();
        assert_eq!(got, Vec::from_iter(expected), "{name}");
    }
}
