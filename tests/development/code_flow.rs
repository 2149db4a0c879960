//! The authorization code grant, step by step, with parameters that a test may change.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::fixture::{Fixture, read, send};

/// The example of RFC 7636 App. B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:33418/callback";
pub(crate) const RESOURCE: &str = "http://127.0.0.1:8080/mcp";

/// Parameters that replace or join those of a flow without faults. An empty value leaves one out.
pub(crate) type Changes<'c> = &'c [(&'c str, &'c str)];

impl Fixture {
    pub(crate) async fn register(&self, metadata: &Value) -> (StatusCode, Value) {
        read(
            self.http
                .post(format!("{}/register", self.issuer()))
                .json(metadata),
        )
        .await
    }

    /// The id of a new public client.
    pub(crate) async fn public_client(&self) -> String {
        let (status, client) = self
            .register(&json!({
                "redirect_uris": [REDIRECT_URI],
                "token_endpoint_auth_method": "none",
                "client_name": "Example",
            }))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{client}");
        client["client_id"].as_str().expect("an id").to_owned()
    }

    /// Sends an authorization request.
    pub(crate) async fn open(&self, client: &str, changes: Changes<'_>) -> Response {
        let defaults = [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", REDIRECT_URI),
            ("scope", "mcp.use notes.read"),
            ("state", "a b&c"),
            ("resource", RESOURCE),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let mut url = Url::parse(&format!("{}/authorize", self.issuer())).expect("a URL");
        url.query_pairs_mut()
            .extend_pairs(changed(&defaults, changes));
        send(self.http.get(url)).await
    }

    /// Presses the button of a page.
    pub(crate) async fn press(&self, page: &str) -> Response {
        let request = self.http.post(format!("{}/authorize", self.issuer()));
        send(request.form(&[("request", hidden_field(page))])).await
    }

    /// A code that the client gets by consent.
    pub(crate) async fn code(&self, client: &str, changes: Changes<'_>) -> String {
        let page = self.open(client, changes).await;
        assert_eq!(page.status(), StatusCode::OK);
        let page = page.text().await.expect("a page");
        parameter(&target(&self.press(&page).await), "code").expect("a code")
    }

    /// Redeems a code as a public client.
    pub(crate) async fn redeem(
        &self,
        client: &str,
        code: &str,
        changes: Changes<'_>,
    ) -> (StatusCode, Value) {
        let defaults = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("resource", RESOURCE),
            ("code_verifier", VERIFIER),
        ];
        let request = self.http.post(format!("{}/token", self.issuer()));
        read(request.form(&changed(&defaults, changes))).await
    }
}

/// Where a response redirects to.
pub(crate) fn target(response: &Response) -> Url {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()["location"].to_str().expect("ASCII");
    Url::parse(location).expect("a URL")
}

pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut values = url.query_pairs().filter(|(found, _)| found == name);
    let value = values.next().map(|(_, value)| value.into_owned());
    assert!(values.next().is_none(), "{name} twice in {url}");
    value
}

/// The value that the button of a page sends.
pub(crate) fn hidden_field(page: &str) -> &str {
    let (_, rest) = page
        .split_once("name=\"request\" value=\"")
        .unwrap_or_else(|| panic!("no button: {page}"));
    rest.split_once('"').expect("a value").0
}

fn changed<'p>(defaults: &[(&'p str, &'p str)], changes: Changes<'p>) -> Vec<(&'p str, &'p str)> {
    let kept = defaults
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes)
        .copied()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}
