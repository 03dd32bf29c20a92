//! Certificates of ours: what is told of them, and that renewed ones are taken.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::common::{Api, Config, Gateway, eventually};

/// A pair for a host's name that expires in this year.
fn issue(gateway: &Gateway, year: i32) {
    let mut params = rcgen::CertificateParams::new(vec!["gateway.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(gateway.path("own.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let new = gateway.path("own.new");
    fs::write(&new, key.serialize_pem()).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, gateway.path("own.key")).unwrap();
}

fn expires(gateway: &Gateway) -> String {
    gateway.status()["certificates"][0]["expires"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn it_is_told_when_a_certificate_expires_and_a_renewed_one_is_taken() {
    if crate::common::tls::is_on() {
        return; // there are others then
    }
    let api = Api::plain();
    let gateway = Gateway::start("auto", &Config::to(&api));
    assert_eq!(gateway.status()["certificates"].as_array().map(Vec::len), Some(0));
    issue(&gateway, 2090);
    let more = "[[target]]\nname = \"partner\"\nurl = \"https://127.0.0.1:1\"\n[target.tls]\nroots = \"own.pem\"\n\
                client_certificate = { cert = \"own.pem\", key = \"own.key\" }\n";
    gateway.configure(&Config { more: more.to_owned(), ..Config::to(&api) });
    eventually("the certificate is told of", || expires(&gateway) == "2090-01-01T00:00:00Z");
    let metrics = gateway.admin("/metrics").expect("the admin listener answers");
    let text = String::from_utf8(metrics.body).expect("it is UTF-8");
    let sample =
        "keyferry_certificate_expiry_seconds{target=\"partner\",name=\"gateway.example\"} 3786912000\n";
    assert!(text.contains(sample), "{text}");
    issue(&gateway, 2091);
    eventually("the renewed one is taken", || expires(&gateway) == "2091-01-01T00:00:00Z");
    fs::remove_file(gateway.path("own.key")).unwrap();
    eventually("the loss is told", || !gateway.status()["reloads"]["refusal"].is_null());
    assert_eq!(expires(&gateway), "2091-01-01T00:00:00Z");
}
