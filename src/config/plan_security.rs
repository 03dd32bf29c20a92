//! Whom a proxy lets in: an OR of ANDs of credentials, as OpenAPI writes it.

/// `security`, or `proxy_credentials`, which is a plain OR.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// In the order in which they are tried; whoever satisfies one comes in. None at all lets everybody in.
    pub branches: Vec<Branch>,
}

/// Credentials that a caller must present together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Positions in [`super::Plan::proxy_credentials`], at least one.
    pub members: Vec<usize>,
    /// Whose consumer calls: a position in `members`.
    pub identity: usize,
}

impl Branch {
    /// One credential alone.
    pub fn of(credential: usize) -> Self {
        Self { members: vec![credential], identity: 0 }
    }

    /// The credential whose consumer calls.
    pub fn identity(&self) -> Option<usize> {
        self.members.get(self.identity).copied()
    }
}

impl Security {
    /// Every credential that it names, once, in the order in which they are first named.
    pub fn credentials(&self) -> Vec<usize> {
        let mut seen = std::collections::HashSet::new();
        let named = self.branches.iter().flat_map(|branch| branch.members.iter().copied());
        named.filter(|at| seen.insert(*at)).collect()
    }
}
