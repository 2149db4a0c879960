//! The token of a request, its issuer and its key.

use crate::verify::jwt::Signer;
use crate::verify::{Examined, Shape, Signed};

// Which issuer judges the token, or why none does.
pub(super) fn issuer(examined: &Examined) -> Option<String> {
    let issuer = examined.issuer.as_ref().map(|issuer| &issuer.settings);
    let accepted = examined.accepted.iter().map(|issuer| &issuer.settings);
    Some(match (issuer, &examined.shape) {
        (Some(issuer), Shape::Jwt { iss, .. }) => {
            let tenant = examined.tenant();
            let tenant = tenant.map(|tenant| format!(", of the tenant {:?}", tenant.name.as_str()));
            let tenant = tenant.unwrap_or_default();
            format!("{}: iss is {}{tenant}", issuer.name, quoted(iss.as_deref()))
        }
        (Some(issuer), _) if issuer.token_prefix.is_empty() => {
            let name = &issuer.name;
            format!("{name}: the issuer of the route that introspects opaque tokens")
        }
        (Some(issuer), _) => {
            let prefix = &issuer.token_prefix;
            format!("{}: the token begins with {prefix:?}", issuer.name)
        }
        (None, Shape::Jwt { iss, .. }) => {
            // Often they differ only by a slash at the end.
            let issuers = accepted.flat_map(|issuer| &issuer.expectation.issuers);
            let issuers = listed(issuers.map(|iss| format!("{iss:?}")));
            let iss = quoted(iss.as_deref());
            format!("NO  iss is {iss}, which is none of the route's issuers ({issuers})")
        }
        (None, Shape::Opaque) => {
            let names = listed(accepted.map(|issuer| issuer.name.to_string()));
            format!(
                "NO  none of the route's issuers ({names}) introspects opaque tokens that begin like this one"
            )
        }
        (None, Shape::TooLong { .. } | Shape::Malformed(_) | Shape::NoClaims(..)) => return None,
    })
}

// Which key the token is signed with, or what is wrong with its signature.
pub(super) fn key(signed: &Signed) -> Option<String> {
    Some(match signed {
        Signed::Unknown => return None,
        Signed::NotVerified => "none: the token is introspected instead".to_owned(),
        Signed::NoKeys { why } => format!("NO  {why}"),
        Signed::Bad { error, kids } if kids.is_empty() => format!("NO  {error}"),
        Signed::Bad { error, kids } => {
            let kids: Vec<_> = kids.iter().map(|kid| format!("{kid:?}")).collect();
            format!("NO  {error}; the issuer's keys are {}", kids.join(", "))
        }
        Signed::Good(Signer::Shared) => "ok  signed with the shared secret".to_owned(),
        Signed::Good(Signer::Published(jwk)) => {
            format!("ok  signed with the key {}", quoted(jwk.kid.as_deref()))
        }
    })
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "none is declared".to_owned()
    } else {
        names.join(", ")
    }
}

pub(super) fn shape(examined: &Examined) -> String {
    match &examined.shape {
        Shape::TooLong { bytes, limit } => {
            format!("NO  {bytes} bytes, but at most {limit} are accepted (max_token_size)")
        }
        Shape::Malformed(error) => format!("NO  a malformed JWT: {error} [{}]", error.reason()),
        Shape::NoClaims(_, error) => format!("NO  a JWT, but {error} [{}]", error.reason()),
        Shape::Jwt { header, .. } => format!(
            "a JWT: alg {}, kid {}, typ {}",
            header.algorithm,
            quoted(header.kid.as_deref()),
            quoted(header.token_type.as_deref())
        ),
        Shape::Opaque => "opaque (not a JWT)".to_owned(),
    }
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"))
}
