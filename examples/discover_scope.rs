//! A client that learns from the API which scope it needs.
//!
//! 1. It gets a token with an empty scope from the authorization server.
//! 2. It sends its request. The gateway refuses it with 403 and names the scope (RFC 6750 §3.1).
//! 3. It gets a token with that scope and sends the request again.
//!
//! ```sh
//! cargo run --example discover_scope -- [URL [TOKEN_ENDPOINT [CLIENT_ID CLIENT_SECRET]]]
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

const BODY: &str = r#"{"message":{"alert":"Good morning"}}"#;

/// The token endpoint, and the client's credentials.
struct TokenSource {
    endpoint: String,
    client_id: String,
    client_secret: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Err(error) = discover().await else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error}");
    // reqwest's message is generic; the causes hold the details.
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        eprintln!("  because: {cause}");
    }
    ExitCode::FAILURE
}

async fn discover() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next_or = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let url = next_or("http://127.0.0.1:8080/push/apps/com.acme/messages");
    let tokens = TokenSource {
        endpoint: next_or("http://127.0.0.1:9080/token"),
        client_id: next_or("test"),
        client_secret: next_or("test"),
    };

    // reqwest is built without a TLS provider, so it uses the default of the process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Redirects are not followed: the token is for this URL only.
    let http = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()?;

    println!("1. We do not know the scope yet, so we request a token without one.");
    let token = request_token(&http, &tokens, "").await?;

    println!("\n2. We send the request with this token.");
    let response = send(&http, &url, &token).await?;
    if response.status() != StatusCode::FORBIDDEN {
        println!(
            "   No 403, so there is no scope to discover{}.",
            explain(response.status())
        );
        return Ok(());
    }
    let challenges = response
        .headers()
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let scope = challenges
        .filter_map(required_scope)
        .next()
        .ok_or("the 403 names no scope")?;
    println!("   The token is valid, but it lacks the scope {scope:?}.");

    println!("\n3. We request a token with this scope.");
    let token = request_token(&http, &tokens, &scope).await?;

    println!("\n4. We send the same request again.");
    let response = send(&http, &url, &token).await?;
    println!("   {}", response.text().await?);
    Ok(())
}

/// Requests a token by the client credentials grant (RFC 6749 §4.4.2).
async fn request_token(
    http: &Client,
    tokens: &TokenSource,
    scope: &str,
) -> Result<String, Box<dyn Error>> {
    println!(
        "   POST {} with grant_type=client_credentials and scope={scope:?}",
        tokens.endpoint
    );
    // Client id and secret are form-encoded before they are joined by a colon (RFC 6749 §2.3.1).
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let response = http
        .post(&tokens.endpoint)
        .basic_auth(
            encode(&tokens.client_id),
            Some(encode(&tokens.client_secret)),
        )
        .form(&[("grant_type", "client_credentials"), ("scope", scope)])
        .send()
        .await?;
    let status = response.status();
    let body: Value = response.json().await?;
    let Some(token) = body["access_token"].as_str() else {
        return Err(format!(
            "no token: {status}, {}: {}",
            body["error"], body["error_description"]
        )
        .into());
    };
    println!(
        "   {status}: a token with scope={}, valid for {} seconds",
        body["scope"], body["expires_in"]
    );
    Ok(token.to_owned())
}

/// Sends the API request with the token (RFC 6750 §2.1).
async fn send(http: &Client, url: &str, token: &str) -> Result<Response, reqwest::Error> {
    println!(
        "   POST {url} with Authorization: Bearer … ({} characters)",
        token.len()
    );
    let request = http
        .post(url)
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(BODY);
    let response = request.send().await?;
    println!("   {}", response.status());
    for challenge in response.headers().get_all(WWW_AUTHENTICATE) {
        println!(
            "   WWW-Authenticate: {}",
            String::from_utf8_lossy(challenge.as_bytes())
        );
    }
    Ok(response)
}

fn explain(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => ": the gateway refuses this token",
        StatusCode::NOT_FOUND => ": the gateway has no such route",
        _ if status.is_success() => ": any valid token suffices here",
        _ => "",
    }
}

/// The scope that a `Bearer` challenge requires (RFC 6750 §3).
///
/// The challenge must be the first of its header. Its attributes come in any order, quoted or bare
/// (RFC 9110 §11.2).
fn required_scope(challenge: &str) -> Option<String> {
    let (scheme, mut rest) = challenge.trim_start().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return None;
    }
    loop {
        let (name, after) = rest.trim_start_matches([' ', '\t', ',']).split_once('=')?;
        let name = name.trim_end();
        // Another scheme before the name: the next challenge begins, and its attributes are not
        // ours.
        if name.contains([' ', '\t']) {
            return None;
        }
        let (value, after) = split_value(after.trim_start())?;
        if name.eq_ignore_ascii_case("scope") {
            return Some(value);
        }
        rest = after;
    }
}

/// Splits off a token or a quoted string, in which a backslash stands before a character that is
/// meant literally.
fn split_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::required_scope;

    #[test]
    fn scope_is_found_anywhere_in_the_challenge() {
        let cases = [
            (
                r#"Bearer error="insufficient_scope", scope="a b""#,
                Some("a b"),
            ),
            (r#"bearer scope=a,error=insufficient_scope"#, Some("a")),
            (
                r#"Bearer realm="say \"scope=x\", please" , SCOPE = "a""#,
                Some("a"),
            ),
            (
                r#"Bearer error="insufficient_scope", Other scope="a""#,
                None,
            ),
            (r#"Basic scope="a""#, None),
            (r#"Bearer scope="a"#, None),
            ("Bearer", None),
        ];
        for (challenge, scope) in cases {
            assert_eq!(required_scope(challenge).as_deref(), scope, "{challenge}");
        }
    }
}
