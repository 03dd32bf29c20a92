//! The part of the plan that says who may do what: rules, and what operators assert about them.

use std::{net::IpAddr, sync::Arc};

use crate::types::{Cidr, Effect, Pattern, Presence, Reason, Secret};

/// The rules of one proxy, target or credential.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `default_rule_effect`.
    pub default: Option<Effect>,
    /// `[[….rule]]`, in the order in which they are written.
    pub list: Vec<Rule>,
}

/// One rule. It matches where all of its parts hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `effect`.
    pub effect: Effect,
    /// `methods`, in upper case; empty is any.
    pub methods: Vec<String>,
    /// `path`.
    pub path: Option<PathCheck>,
    /// `headers`.
    pub headers: Vec<FieldCheck>,
    /// `query`.
    pub query: Vec<FieldCheck>,
    /// `source`; empty is any.
    pub source: Vec<Cidr>,
    /// `scopes`: the caller has to hold all of them.
    pub scopes: Vec<String>,
    /// `priority`: orders listings, and nothing else.
    pub priority: u16,
    /// `notes`.
    pub notes: Option<String>,
    /// Where it stands.
    pub origin: Origin,
}

/// `path` of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCheck {
    /// `pattern`.
    pub pattern: Pattern,
    /// `presence`.
    pub presence: Presence,
}

/// One member of `headers` or `query` of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldCheck {
    /// `name`.
    pub name: Pattern,
    /// `value`, which may be a secret; none is any.
    pub value: Option<Pattern>,
    /// `presence`.
    pub presence: Presence,
}

/// The place of a table in the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, as it was named to us.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Dotted path, such as `proxy[2].rule[0]`.
    pub key: String,
}

/// `[[assert]]`: a request, and how it has to end.
#[derive(Debug, PartialEq, Eq)]
pub struct Assert {
    /// `request`.
    pub request: AssertRequest,
    /// `expect`.
    pub expected: Expected,
    /// Where it stands.
    pub origin: Origin,
}

/// `request` of an assert.
#[derive(Debug, PartialEq, Eq)]
pub struct AssertRequest {
    /// `method`.
    pub method: String,
    /// `path`, with its query.
    pub path: String,
    /// `credential`, as a position in [`super::Plan::proxy_credentials`].
    pub credential: Option<usize>,
    /// `headers`.
    pub headers: Vec<(String, Secret)>,
    /// `source`; `None` is `"unknown"`.
    pub source: Option<IpAddr>,
    /// `host`.
    pub host: Option<String>,
}

/// `expect` of an assert; what is none may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// `status`.
    pub status: Option<u16>,
    /// `reason`.
    pub reason: Option<Reason>,
}
