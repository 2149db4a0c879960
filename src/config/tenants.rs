//! `tenants` of an issuer: the tenants of one authorization server whose tokens are accepted.

use serde_json::json;

use super::read::Table;
use super::reference::key;
use super::report::Spanned;
use super::scalars::text;

/// The accepted tenants.
#[derive(Clone, Debug, PartialEq)]
pub enum Tenants {
    /// Every one that the authorization server knows.
    Any(Spanned<()>),
    /// These; the list is not empty.
    Listed(Vec<Spanned<String>>),
}

pub(super) fn tenants(table: &mut Table<'_>, requires_issuer: bool) -> Option<Tenants> {
    let key = key(
        "tenants",
        "Accepted tenants, for an `issuer` with a `{parameter}`: their names, or `\"any\"` for all that the server knows. \
         Each has keys of its own. Without it, the issuer has no tenants. \
         Example: `tenants = [\"contoso\", \"fabrikam\"]`",
    );
    let names = table.optional_list(key, text(), 1);
    // Only the `iss` of a JWT names the tenant, and its keys vouch for that.
    for other in ["introspection", "jwks_file", "shared_secret"] {
        table.refuse_both(other, "tenants");
    }
    table.rule(|| {
        json!({"not": {"properties": {"require_issuer": {"const": false}}, "required": ["tenants", "require_issuer"]}})
    });
    if table.has("tenants") && !requires_issuer {
        let message = "expected true beside tenants, but found false";
        let fault = table.fault("require_issuer", message);
        table.push(fault.with_help("a token without iss names no tenant"));
    }
    table.rule(|| json!({"dependentRequired": {"max_tenants": ["tenants"]}}));
    if table.has("max_tenants") && !table.has("tenants") {
        let fault = table.fault(
            "max_tenants",
            "expected it only with tenants, but found none",
        );
        table.push_unless_misspelt(&["tenants"], fault);
    }
    let names = names?;
    match (names.iter().find(|name| name.value == "any"), names.len()) {
        (Some(any), 1) => Some(Tenants::Any(any.with_value(()))),
        (Some(any), _) => {
            table.push(
                any.fault("expected \"any\" to stand alone, but found other tenants beside it"),
            );
            None
        }
        (None, _) => Some(Tenants::Listed(names)),
    }
}
