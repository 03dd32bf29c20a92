//! Whom a proxy lets in: where it looks for credentials, and which of them it takes together.

/// The security of a proxy: an OR of ANDs.
#[derive(Debug, Default)]
pub struct Security {
    /// Where its callers' credentials may stand.
    pub locations: Box<[Location]>,
    /// Who comes in, in the order in which that is tried; nobody has to show anything where there are none.
    pub branches: Box<[Branch]>,
    /// Whether the preflight requests of browsers, which carry no credentials, pass.
    pub pass_preflight: bool,
    /// The branches with one member: its number, and the position of the branch, sorted.
    alone: Box<[(u32, u32)]>,
    /// The positions of the others.
    together: Box<[u32]>,
}

/// Credentials that a caller must present together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Numbers of credentials, at least one.
    pub members: Box<[u32]>,
    /// The one whose consumer calls: a position in `members`.
    pub identity: usize,
}

/// One place where a credential may stand.
#[derive(Debug)]
pub struct Location {
    /// The field's name in lower case; empty if it is none.
    pub name: Box<[u8]>,
    /// How its value is read.
    pub kind: LocationKind,
    /// Numbers of the credentials that count there, sorted.
    pub credentials: Box<[u32]>,
}

/// How the value of a location is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocationKind {
    /// The whole value is the key.
    Plain,
    /// The value of `Authorization`: the key itself, or behind `Bearer` or `ApiKey`.
    Authorization,
    /// No field: the client certificate of the connection.
    Certificate,
}

impl Security {
    /// From the branches in their order.
    pub fn new(locations: Box<[Location]>, branches: Vec<Branch>, pass_preflight: bool) -> Self {
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        for (at, branch) in (0_u32..).zip(&branches) {
            match *branch.members {
                [only] => alone.push((only, at)),
                _ => together.push(at),
            }
        }
        alone.sort_unstable();
        alone.dedup_by_key(|(member, _)| *member);
        Self {
            locations,
            branches: branches.into(),
            pass_preflight,
            alone: alone.into(),
            together: together.into(),
        }
    }

    /// Whether nobody has to show anything.
    pub fn is_public(&self) -> bool {
        self.branches.is_empty()
    }

    /// The first branch whose members are all proved.
    pub fn first_proved(&self, proved: impl Iterator<Item = u32> + Clone) -> Option<usize> {
        let rank = |number: u32| {
            let at = self.alone.binary_search_by_key(&number, |(member, _)| *member).ok()?;
            self.alone.get(at).map(|(_, rank)| *rank)
        };
        let alone = proved.clone().filter_map(rank).min();
        let all =
            |branch: &Branch| branch.members.iter().all(|member| proved.clone().any(|one| one == *member));
        let before = self.together.iter().take_while(|at| alone.is_none_or(|alone| **at < alone));
        let together = before.copied().find(|at| self.branches.get(*at as usize).is_some_and(all));
        together.or(alone).map(|at| at as usize)
    }

    /// Whether a credential counts anywhere.
    pub fn accepts(&self, credential: u32) -> bool {
        self.locations.iter().any(|location| location.counts(credential))
    }
}

impl Location {
    /// Whether a credential counts here.
    #[inline]
    pub fn counts(&self, credential: u32) -> bool {
        self.credentials.binary_search(&credential).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Branch, Security};

    #[test]
    fn the_first_branch_whose_members_are_all_there_is_taken() {
        let branches = [&[1, 2][..], &[3], &[4], &[2, 4], &[3]];
        let branches = branches.map(|members| Branch { members: members.into(), identity: 0 });
        let security = Security::new(Box::default(), branches.to_vec(), false);
        for (proved, first) in [
            (&[][..], None),
            (&[1], None),
            (&[2, 1], Some(0)),
            (&[4, 3], Some(1)),
            (&[4], Some(2)),
            (&[2, 4], Some(2)),
            (&[1, 2, 3], Some(0)),
            (&[9], None),
        ] {
            assert_eq!(security.first_proved(proved.iter().copied()), first, "{proved:?}");
        }
        assert!(!security.is_public() && Security::default().is_public());
    }
}
