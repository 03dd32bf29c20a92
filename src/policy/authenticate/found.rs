//! What the locations of a request proved, and which branch of its proxy that satisfies.

use super::super::{Identity, Proof, Watch};
use crate::{
    limits::{BRANCHES_TOLD_MAX, PROOFS_MAX},
    snapshot::{Branch, Location, Security},
    types::Reason,
};

/// What was found so far. Of what a request presents beyond a fixed number nothing counts.
pub(super) struct Found<'s> {
    security: &'s Security,
    proofs: [Option<Proof<'s>>; PROOFS_MAX],
    /// Why credentials are not proved that something was presented for.
    refusals: [Option<(u32, Reason)>; PROOFS_MAX],
    /// Whether anything was presented, and what of it came closest.
    closest: Reason,
    enough: bool,
}

impl<'s> Found<'s> {
    pub(super) fn new(security: &'s Security) -> Self {
        Self {
            security,
            proofs: [None; PROOFS_MAX],
            refusals: [None; PROOFS_MAX],
            closest: Reason::CredentialMissing,
            enough: security.is_public(),
        }
    }

    /// Whether nothing else that is presented can change who calls.
    pub(super) fn is_enough(&self) -> bool {
        self.enough
    }

    /// A credential is proved.
    pub(super) fn prove(&mut self, proof: Proof<'s>) {
        let Some(place) = self.proofs.iter_mut().find(|place| place.is_none()) else { return };
        *place = Some(proof);
        self.enough = self.first() == Some(0);
    }

    /// What was presented where a credential counts is not it.
    pub(super) fn refuse(&mut self, credential: u32, reason: Reason) {
        let own = |place: &&mut Option<(u32, Reason)>| place.is_none_or(|(known, _)| known == credential);
        if let Some(place) = self.refusals.iter_mut().find(own) {
            let before = place.map_or(Reason::CredentialMissing, |(_, reason)| reason);
            *place = Some((credential, closer(before, reason)));
        }
        self.closest = closer(self.closest, reason);
    }

    /// What was presented is no credential at all.
    pub(super) fn refuse_all(&mut self, location: &Location, reason: Reason) {
        for credential in location.credentials.iter().take(PROOFS_MAX) {
            self.refuse(*credential, reason);
        }
        self.closest = closer(self.closest, reason);
    }

    /// The first branch that is satisfied.
    pub(super) fn decide(self, watch: &mut impl Watch) -> Result<Identity<'s>, Reason> {
        let branches = &self.security.branches;
        let first = self.first();
        if branches.len() > 1 {
            let lost = branches.iter().take(first.unwrap_or(usize::MAX).min(BRANCHES_TOLD_MAX));
            for (at, branch) in lost.enumerate() {
                watch.branch_lost(at, self.why_not(branch));
            }
        }
        let Some(branch) = first.and_then(|at| branches.get(at)) else {
            return if branches.is_empty() { Ok(Identity::default()) } else { Err(self.why_none()) };
        };
        watch.branch_won(first.unwrap_or(0));
        Ok(Identity::new(branch.members.iter().filter_map(|member| self.proof(*member)), branch.identity))
    }

    fn first(&self) -> Option<usize> {
        self.security.first_proved(self.proofs.iter().map_while(|proof| Some((*proof)?.credential.number)))
    }

    fn proof(&self, credential: u32) -> Option<Proof<'s>> {
        self.proofs.iter().flatten().find(|proof| proof.credential.number == credential).copied()
    }

    /// Why a credential is not proved; nothing if it is.
    fn refusal(&self, credential: u32) -> Option<Reason> {
        if self.proof(credential).is_some() {
            return None;
        }
        let of_it = self.refusals.iter().flatten().filter(|(number, _)| *number == credential);
        Some(of_it.fold(Reason::CredentialMissing, |closest, (_, reason)| closer(closest, *reason)))
    }

    /// Why a branch is not satisfied: what its first missing member lacks.
    fn why_not(&self, branch: &Branch) -> Reason {
        let missing = branch.members.iter().find_map(|member| self.refusal(*member));
        let begun = branch.members.iter().any(|member| self.proof(*member).is_some());
        match missing {
            Some(Reason::CredentialMissing) | None if begun => Reason::CredentialIncomplete,
            reason => reason.unwrap_or(Reason::CredentialMissing),
        }
    }

    /// Why none is: a branch that was begun says more than one that was not.
    fn why_none(&self) -> Reason {
        let begun = |branch: &&Branch| branch.members.iter().any(|member| self.proof(*member).is_some());
        let proved_any = self.proofs.iter().any(Option::is_some);
        let begun = proved_any.then(|| self.security.branches.iter().find(begun)).flatten();
        begun.map_or(self.closest, |branch| self.why_not(branch))
    }
}

/// The more telling one of two refusals: a key that exists says more than one that does not.
pub(super) fn closer(before: Reason, after: Reason) -> Reason {
    let rank = |reason| match reason {
        Reason::CredentialMissing => 0,
        Reason::KeyUnknown => 1,
        _ => 2,
    };
    if rank(after) > rank(before) { after } else { before }
}
