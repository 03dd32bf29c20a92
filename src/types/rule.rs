//! What a rule says, and where rules live.

/// What a rule that matches does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It allows the request, unless another one denies it.
    Allow,
    /// It denies the request, whatever others say.
    Deny,
}

impl Effect {
    /// As files write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Whether something has to be there for a rule to match, or has to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Presence {
    /// It has to be there.
    #[default]
    MustExist,
    /// It has to be missing.
    MustAbsent,
}

impl Presence {
    /// As files write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MustExist => "must_exist",
            Self::MustAbsent => "must_absent",
        }
    }
}

/// One of the four places whose rules have a say in every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleScope {
    /// The credential that the caller presented.
    ProxyCredential,
    /// The credential that the API receives.
    TargetCredential,
    /// The proxy.
    Proxy,
    /// The API.
    Target,
}

impl RuleScope {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 4] = [Self::ProxyCredential, Self::TargetCredential, Self::Proxy, Self::Target];

    /// What messages call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProxyCredential => "proxy credential",
            Self::TargetCredential => "target credential",
            Self::Proxy => "proxy",
            Self::Target => "target",
        }
    }
}
