//! What changes a running gateway: reload and revoke. An answer of 200 means that every shard has seen the change.

use axum::{
    Json,
    extract::{
        Query, State as Shared,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::State;
use crate::{
    control::{KeyQuery, ReloadResult, Revoke, RevokeRefusal},
    types::digest_from_hex,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadBody {
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeBody {
    name: Option<String>,
    sha256: Option<String>,
}

pub(super) async fn reload(
    Shared(state): Shared<State>,
    body: Result<Json<ReloadBody>, JsonRejection>,
) -> Response {
    let Ok(Json(body)) = body else { return problem(StatusCode::BAD_REQUEST, "malformed", RELOAD_HELP) };
    let Ok(report) = state.commands.reload(body.force).await else {
        let detail = "there is no file to load again, or the gateway is ending";
        return problem(StatusCode::CONFLICT, "cannot-reload", detail);
    };
    let status = match report.result {
        ReloadResult::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        _ if report.confirmed => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report)).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysQuery {
    credential: Option<String>,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    limit: Option<usize>,
}

pub(super) async fn keys(
    Shared(state): Shared<State>,
    query: Result<Query<KeysQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(KeysQuery { credential, offset, limit })) = query else {
        return problem(
            StatusCode::BAD_REQUEST,
            "malformed",
            "the query may have credential, offset and limit",
        );
    };
    let query = KeyQuery { credential, offset, limit: limit.unwrap_or(KEYS_DEFAULT) };
    match state.commands.keys(query).await {
        Ok(page) => Json(page).into_response(),
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "ending", "the gateway is ending"),
    }
}

pub(super) async fn revoke(
    Shared(state): Shared<State>,
    body: Result<Json<RevokeBody>, JsonRejection>,
) -> Response {
    let what = match body {
        Ok(Json(RevokeBody { name: Some(name), sha256: None })) => Some(Revoke::Name(name)),
        Ok(Json(RevokeBody { name: None, sha256: Some(text) })) => {
            digest_from_hex(text.as_bytes()).map(Revoke::Digest)
        }
        _ => None,
    };
    let Some(what) = what else { return problem(StatusCode::BAD_REQUEST, "malformed", REVOKE_HELP) };
    match state.commands.revoke(what).await {
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "ending", "the gateway is ending"),
        Ok(Ok(report)) if report.confirmed => Json(report).into_response(),
        Ok(Ok(_)) => {
            let detail =
                "it is written down and will hold, but a shard has not yet said that it refuses the key";
            problem(StatusCode::SERVICE_UNAVAILABLE, "committed-unconfirmed", detail)
        }
        Ok(Err(RevokeRefusal::Unknown)) => {
            // What was asked for is not repeated: it may be the key itself.
            let detail = "no credential and no key has that name; give the id of a key, the name of a credential, \
                          or the key itself on standard input with `-`";
            problem(StatusCode::NOT_FOUND, "unknown", detail)
        }
        Ok(Err(RevokeRefusal::Ambiguous(name, choices))) => {
            let detail = format!("{name:?} may be {}; write CREDENTIAL/KEY-ID", choices.join(", or "));
            problem(StatusCode::CONFLICT, "ambiguous", &detail)
        }
        Ok(Err(RevokeRefusal::NotKept(sentence))) => {
            let detail = format!("nothing was revoked: {sentence}");
            problem(StatusCode::INSUFFICIENT_STORAGE, "not-kept", &detail)
        }
    }
}

/// Keys that an answer lists if nothing is asked.
const KEYS_DEFAULT: usize = 100;
const RELOAD_HELP: &str = r#"send Content-Type: application/json and {} or {"force": true}"#;
const REVOKE_HELP: &str =
    r#"send Content-Type: application/json and {"name": "…"} or {"sha256": "64 hexadecimal digits"}"#;

/// RFC 9457.
fn problem(status: StatusCode, word: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("https://keyferry.dev/problems/{word}"),
        "title": word,
        "status": status.as_u16(),
        "detail": detail,
    });
    let headers = [(axum::http::header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, body.to_string()).into_response()
}
