//! `[[credential]]` with `type = "target"`: the header fields that the API receives.

use super::{
    super::{
        base64,
        outside::Outside,
        plan::TargetCredential,
        raw::{Table, Value},
        report::{Problem, Report},
    },
    field, rule, secret,
    secret::Found,
};
use crate::{limits, types::Secret};

/// Most header fields of a custom credential.
const FIELDS_MAX: usize = 32;
/// Longest word in front of a token.
const PREFIX_BYTES_MAX: usize = 64;

/// A target credential, and why it cannot be used if that is so.
pub(super) struct Read {
    pub credential: TargetCredential,
    pub broken: Option<String>,
}

#[derive(Clone, Copy)]
enum Auth {
    Key,
    Bearer,
    Basic,
    Custom,
    None,
}

/// Reads what follows `name` and `type`.
pub(super) fn target_credential(
    table: &mut Table<'_>,
    name: &str,
    outside: &dyn Outside,
    report: &mut Report,
) -> Read {
    let mut reader = Reader { outside, report, broken: None };
    let fields = reader.fields(table);
    let rules = rule::rules(table, reader.report);
    Read { credential: TargetCredential { name: name.to_owned(), fields, rules }, broken: reader.broken }
}

struct Reader<'a> {
    outside: &'a dyn Outside,
    report: &'a mut Report,
    broken: Option<String>,
}

impl Reader<'_> {
    fn fields(&mut self, table: &mut Table<'_>) -> Vec<(String, Secret)> {
        let help = r#"write auth = "key", "bearer", "basic", "custom" or "none""#;
        let Some(value) = table.require("auth", help, self.report) else { return Vec::new() };
        let words = [
            ("key", Auth::Key),
            ("bearer", Auth::Bearer),
            ("basic", Auth::Basic),
            ("custom", Auth::Custom),
            ("none", Auth::None),
            ("apiKey", Auth::Key),
            ("basicAuth", Auth::Basic),
        ];
        match field::choice(&value, &words, self.report) {
            Some(Auth::Key) => self.key(table),
            Some(Auth::Bearer) => self.bearer(table),
            Some(Auth::Basic) => self.basic(table),
            Some(Auth::Custom) => self.custom(table),
            Some(Auth::None) | None => Vec::new(),
        }
    }

    fn key(&mut self, table: &mut Table<'_>) -> Vec<(String, Secret)> {
        let key = table.require_secret("key", r#"write key = { env = "NAME" }"#, self.report);
        let header =
            table.take_secret("header").and_then(|value| value.convert(self.report, field::header_name));
        let header = header.unwrap_or_else(|| "x-api-key".to_owned());
        let prefix = self.prefix(table, "");
        let key = key.and_then(|value| self.secret(value));
        key.into_iter().map(|key| (header.clone(), prefixed(&prefix, key))).collect()
    }

    fn bearer(&mut self, table: &mut Table<'_>) -> Vec<(String, Secret)> {
        let token = table.require_secret("token", r#"write token = { env = "NAME" }"#, self.report);
        let prefix = self.prefix(table, "Bearer");
        let token = token.and_then(|value| self.secret(value));
        token.into_iter().map(|token| ("authorization".to_owned(), prefixed(&prefix, token))).collect()
    }

    fn basic(&mut self, table: &mut Table<'_>) -> Vec<(String, Secret)> {
        let user = table.require_secret("user", r#"write user = "…""#, self.report);
        let password = table.require_secret("password", r#"write password = { env = "NAME" }"#, self.report);
        let read_user = user.clone().and_then(|value| self.secret(value));
        let password = password.and_then(|value| self.secret(value));
        let (Some(user), Some(name), Some(password)) = (user, read_user, password) else { return Vec::new() };
        // The colon separates the two (RFC 7617 §2).
        if name.expose().contains(&b':') {
            user.error(Problem::plain("a user may not contain a colon"), self.report);
            return Vec::new();
        }
        vec![("authorization".to_owned(), basic_value(&name, &password))]
    }

    fn custom(&mut self, table: &mut Table<'_>) -> Vec<(String, Secret)> {
        let help = r#"write headers = { "X-Name" = { env = "NAME" } }"#;
        let Some(value) = table.require_secret("headers", help, self.report) else { return Vec::new() };
        let Some(mut headers) = value.table(self.report) else { return Vec::new() };
        let members = headers.take_all();
        if members.is_empty() || members.len() > FIELDS_MAX {
            value.error(
                Problem::new(format!("it has {} fields", members.len()), format!("write 1 to {FIELDS_MAX}")),
                self.report,
            );
            return Vec::new();
        }
        let mut fields: Vec<(String, Secret)> = Vec::new();
        for (name, member) in members {
            let Some(name) = member.accept(field::header_name(name), self.report) else { continue };
            if fields.iter().any(|(other, _)| *other == name) {
                member.error(Problem::plain("the field is written twice"), self.report);
                continue;
            }
            fields.extend(self.secret(member).map(|secret| (name, secret)));
        }
        fields
    }

    /// The word in front of a token or key, one space between them; `""` is none. It is not shown, nor is
    /// `header`: somebody may have written the whole value there.
    fn prefix(&mut self, table: &mut Table<'_>, default: &str) -> String {
        let Some(value) = table.take_secret("prefix") else { return default.to_owned() };
        let read = value.convert(self.report, |text| {
            if text.is_empty() || (field::is_token(text) && text.len() <= PREFIX_BYTES_MAX) {
                return Ok(text.to_owned());
            }
            Err(Problem::new("not a prefix", r#"write one word such as "Bearer" or "Token", or """#))
        });
        read.unwrap_or_default()
    }

    fn secret(&mut self, value: Value<'_>) -> Option<Secret> {
        let found = secret::secret(value, limits::SECRET_BYTES_MAX, self.outside, self.report);
        if let Found::Dangling(sentence) = &found {
            self.broken.get_or_insert_with(|| sentence.clone());
        }
        found.secret()
    }
}

fn prefixed(prefix: &str, secret: Secret) -> Secret {
    if prefix.is_empty() {
        return secret;
    }
    // Reserved up front: a buffer that grows leaves copies behind. The same below.
    let mut value = Vec::with_capacity(prefix.len() + 1 + secret.expose().len());
    value.extend_from_slice(prefix.as_bytes());
    value.push(b' ');
    value.extend_from_slice(secret.expose());
    Secret::new(value)
}

fn basic_value(user: &Secret, password: &Secret) -> Secret {
    let (user, password) = (user.expose(), password.expose());
    let mut pair = zeroize::Zeroizing::new(Vec::with_capacity(user.len() + 1 + password.len()));
    pair.extend_from_slice(user);
    pair.push(b':');
    pair.extend_from_slice(password);
    let mut value = Vec::with_capacity("Basic ".len() + base64::encoded_bytes(pair.len()));
    value.extend_from_slice(b"Basic ");
    base64::encode_into(&mut value, &pair);
    Secret::new(value)
}
