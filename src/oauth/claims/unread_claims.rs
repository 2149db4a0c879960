//! What a token has beside the claims that are checked, for `explain`: names only, because the
//! values may name people.

use std::collections::HashSet;

use super::kinds::{FOREIGN_CLAIMS, ID_TOKEN_CLAIMS, KIND_CLAIMS};
use super::{Claims, Expectation};

/// Claims in which servers put scopes, roles or permissions.
const LIKELY_SCOPE_CLAIMS: [&str; 10] = [
    "scope",
    "scp",
    "scopes",
    "roles",
    "groups",
    "entitlements",
    "permissions",
    "authorities",
    "realm_access",
    "resource_access",
];
/// Claims that a rule reads, whichever the expectation.
const CHECKED_CLAIMS: [&str; 7] = ["iss", "aud", "exp", "nbf", "iat", "cnf", "token_type"];

/// Names of claims that no rule of an issuer reads, in the order of the alphabet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UnreadClaims {
    /// Claims that probably hold scopes, and are not read as such.
    pub scopes: Vec<UnreadScopeClaim>,
    /// All others.
    pub others: Vec<String>,
}

/// A claim that probably holds scopes, and why it is not read.
#[derive(Debug, PartialEq, Eq)]
pub enum UnreadScopeClaim {
    /// The token has another of `scope_claims`, which comes first.
    Later {
        /// Its name.
        claim: String,
        /// The name of the claim that is read instead.
        read: String,
    },
    /// A JSON Pointer of `scope_claims` leads into it, and finds nothing there.
    NothingAt {
        /// Its name.
        claim: String,
        /// The pointer as written.
        pointer: String,
    },
    /// `scope_claims` does not list it.
    NotListed {
        /// Its name.
        claim: String,
    },
}

impl UnreadClaims {
    /// Removes claims that a route reads.
    pub fn remove<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        for name in names {
            self.others.retain(|other| other != name);
        }
    }
}

impl Claims {
    /// What the rules of an issuer do not read. Without an expectation, no rule reads anything.
    #[must_use]
    pub fn unread(&self, expected: Option<&Expectation>) -> UnreadClaims {
        let Some(expected) = expected else {
            let mut others: Vec<_> = self.members.keys().cloned().collect();
            others.sort_unstable();
            return UnreadClaims {
                others,
                ..UnreadClaims::default()
            };
        };
        let sources = &expected.scope_claims;
        let read = sources.first_present(&self.members).map(|(name, _)| name);
        let additional = sources.additional.iter().map(|source| &source.claim);
        let (found, missed): (Vec<_>, Vec<_>) =
            additional.partition(|claim| claim.find(&self.members).is_some());
        let required = expected.required_claims.iter().map(String::as_str);
        let compared = expected.claim_rules.iter();
        let audiences = expected.audience_claims.iter();
        let known: HashSet<&str> = CHECKED_CLAIMS
            .into_iter()
            .chain(ID_TOKEN_CLAIMS)
            .chain(FOREIGN_CLAIMS)
            .chain(KIND_CLAIMS)
            .chain(required)
            .chain(compared.map(|rule| rule.claim().claim()))
            .chain(audiences.map(|claim| claim.claim()))
            .chain(found.iter().map(|claim| claim.claim()))
            .chain(read)
            .collect();
        let mut names: Vec<_> = self.members.keys().collect();
        names.retain(|name| !known.contains(name.as_str()));
        names.sort_unstable();
        let mut unread = UnreadClaims::default();
        for name in names {
            let claim = name.clone();
            let missed = missed.iter().find(|missed| missed.claim() == name);
            if let Some(read) = read.filter(|_| sources.names.contains(name)) {
                let read = read.to_owned();
                unread.scopes.push(UnreadScopeClaim::Later { claim, read });
            } else if let Some(missed) = missed {
                let pointer = missed.to_string();
                unread
                    .scopes
                    .push(UnreadScopeClaim::NothingAt { claim, pointer });
            } else if LIKELY_SCOPE_CLAIMS.contains(&name.as_str()) {
                unread.scopes.push(UnreadScopeClaim::NotListed { claim });
            } else {
                unread.others.push(claim);
            }
        }
        unread
    }
}
