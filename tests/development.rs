//! The development authorization server and echo upstream, over real sockets.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::{Client as HttpClient, RequestBuilder, Response, StatusCode};
use scopegate::dev::{DevelopmentServers, DevelopmentSettings, RegisteredClient, start};
use scopegate::oauth::scope::{GrantedWildcards, ScopeSet};
use scopegate::values::{SigningAlgorithm, TokenFormat};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const FORM: &str = "application/x-www-form-urlencoded";

const FORMATS: [TokenFormat; 2] = [TokenFormat::Jwt, TokenFormat::Opaque];

/// Running servers and a client for them.
struct Fixture {
    servers: DevelopmentServers,
    http: HttpClient,
}

fn settings(algorithm: SigningAlgorithm) -> DevelopmentSettings {
    let client = |id: &str, secret: &str, scope: &str| RegisteredClient {
        id: id.to_owned(),
        secret: secret.to_owned().into(),
        allowed_scope: ScopeSet::parse(scope, GrantedWildcards::Honoured).expect("few scopes"),
    };
    DevelopmentSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        echo: ([127, 0, 0, 1], 0).into(),
        runtime: "mfp".to_owned(),
        token_lifetime: Duration::from_secs(3600),
        token_format: TokenFormat::Jwt,
        audience: "scopegate-development".to_owned(),
        algorithm,
        clients: vec![
            client("test", "test", "*"),
            client("narrow", "narrow", "messages.write push.application.*"),
            client("odd:id & co", "100% +s/e=cret:", "read"),
        ],
    }
}

impl Fixture {
    // The fastest key to make; the algorithms have a test of their own.
    async fn new() -> Self {
        Self::with(SigningAlgorithm::EdDsa).await
    }

    async fn with(algorithm: SigningAlgorithm) -> Self {
        Self::started(settings(algorithm)).await
    }

    async fn issuing(token_format: TokenFormat) -> Self {
        Self::started(DevelopmentSettings {
            token_format,
            ..settings(SigningAlgorithm::EdDsa)
        })
        .await
    }

    async fn started(settings: DevelopmentSettings) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let servers = start(settings).await.expect("both servers start");
        Self {
            servers,
            http: HttpClient::builder().no_proxy().build().expect("a client"),
        }
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.servers.issuer_address)
    }

    fn echo(&self) -> String {
        format!("http://{}", self.servers.echo_address)
    }

    fn token_request(&self, body: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}/token", self.issuer()));
        request.header("content-type", FORM).body(body.to_owned())
    }

    /// A token for the client `test`.
    async fn token(&self, body: &str) -> String {
        let (_, answer) = self
            .ask(&format!("grant_type=client_credentials&{body}"))
            .await;
        answer["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token: {answer}"))
            .to_owned()
    }

    fn introspection_request(&self, token: &str) -> RequestBuilder {
        self.http
            .post(format!("{}/introspect", self.issuer()))
            .form(&[("token", token)])
    }

    fn revocation_request(&self, token: &str) -> RequestBuilder {
        self.http
            .post(format!("{}/revoke", self.issuer()))
            .form(&[("token", token)])
    }

    fn end_of_session(&self) -> RequestBuilder {
        self.http.delete(format!("{}/Session", self.issuer()))
    }

    /// What the client `test` is told of a token.
    async fn introspect(&self, token: &str) -> Value {
        let (status, answer) = read(
            self.introspection_request(token)
                .basic_auth("test", Some("test")),
        )
        .await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// Asks as the client `test`.
    async fn ask(&self, body: &str) -> (StatusCode, Value) {
        read(self.token_request(body).basic_auth("test", Some("test"))).await
    }

    async fn claims(&self, body: &str) -> Value {
        let (_, answer) = self.ask(body).await;
        self.verify(&answer, Algorithm::EdDSA).await
    }

    /// Verifies an answer's token by the published keys and jsonwebtoken's own rules.
    async fn verify(&self, answer: &Value, algorithm: Algorithm) -> Value {
        let token = answer["access_token"].as_str().expect("an access token");
        let header = decode_header(token).expect("a JOSE header");
        assert_eq!(
            (header.typ.as_deref(), header.alg),
            (Some("at+jwt"), algorithm)
        );
        let (_, keys) = read(self.http.get(format!("{}/jwks", self.issuer()))).await;
        assert_eq!(keys["keys"][0]["use"], "sig");
        assert!(keys["keys"][0]["alg"].is_string() && keys["keys"][0]["d"].is_null());
        let keys: JwkSet = serde_json::from_value(keys).expect("a JWKS");
        let key = keys
            .find(&header.kid.expect("a kid"))
            .expect("the key that the token names");
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[self.issuer()]);
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(key).expect("a usable key");
        decode::<Value>(token, &key, &validation)
            .expect("a token that verifies")
            .claims
    }
}

/// What a JWT says; nobody verifies it here.
fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn read(request: RequestBuilder) -> (StatusCode, Value) {
    let response = send(request).await;
    let status = response.status();
    (status, response.json().await.expect("a JSON body"))
}

/// Sends bytes as they are and gives back all that comes until the connection closes.
async fn raw(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn client_credentials_buy_a_bearer_token_that_nobody_may_store() {
    let fixture = Fixture::new().await;
    let request =
        fixture.token_request("grant_type=client_credentials&scope=sendMessage+accessRestricted");
    let response = send(request.basic_auth("test", Some("test"))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["pragma"], "no-cache");
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    assert_eq!(answer["scope"], "sendMessage accessRestricted");
}

#[tokio::test]
async fn each_algorithm_makes_tokens_that_its_published_key_verifies() {
    for (signing, algorithm) in [
        (SigningAlgorithm::Rs256, Algorithm::RS256),
        (SigningAlgorithm::Es256, Algorithm::ES256),
        (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
    ] {
        let fixture = Fixture::with(signing).await;
        let (_, answer) = fixture.ask("grant_type=client_credentials&scope=a").await;
        fixture.verify(&answer, algorithm).await;
    }
}

#[tokio::test]
async fn tokens_carry_the_claims_of_rfc_9068() {
    let fixture = Fixture::new().await;
    let claims = fixture
        .claims("grant_type=client_credentials&scope=a+b")
        .await;
    assert_eq!(claims["iss"], fixture.issuer());
    assert_eq!(claims["aud"], "scopegate-development");
    assert_eq!(claims["scope"], "a b");
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("test"), &json!("test"))
    );
    let seconds = |name: &str| claims[name].as_i64().expect("a time");
    assert_eq!(seconds("exp") - seconds("iat"), 3600);
    let again = fixture
        .claims("grant_type=client_credentials&scope=a+b")
        .await;
    assert_ne!(claims["jti"], again["jti"]);
}

#[tokio::test]
async fn client_chooses_audience_and_validity_period() {
    let fixture = Fixture::new().await;
    let asked =
        "grant_type=client_credentials&audience=https%3A%2F%2Fapi.example.com&validity_period=5";
    let claims = fixture.claims(asked).await;
    assert_eq!(claims["aud"], "https://api.example.com");
    let seconds = |name: &str| claims[name].as_i64().expect("a time");
    assert_eq!(seconds("exp") - seconds("iat"), 5);
}

#[tokio::test]
async fn endless_validity_period_saturates() {
    let fixture = Fixture::new().await;
    let claims = fixture
        .claims("grant_type=client_credentials&validity_period=18446744073709551615")
        .await;
    assert_eq!(claims["exp"], i64::MAX);
}

#[tokio::test]
async fn validity_period_that_is_no_positive_number_is_an_invalid_request() {
    let fixture = Fixture::new().await;
    for junk in ["0", "-1", "1.5", "soon", "18446744073709551616"] {
        let (status, answer) = fixture
            .ask(&format!(
                "grant_type=client_credentials&validity_period={junk}"
            ))
            .await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{junk}"
        );
    }
}

#[tokio::test]
async fn absent_and_empty_scope_are_granted_as_empty() {
    let fixture = Fixture::new().await;
    for body in [
        "grant_type=client_credentials",
        "grant_type=client_credentials&scope=",
    ] {
        let (status, answer) = fixture.ask(body).await;
        assert_eq!(
            (status, &answer["scope"]),
            (StatusCode::OK, &json!("")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn scope_outside_what_the_client_is_allowed_is_an_invalid_scope() {
    let fixture = Fixture::new().await;
    let cases = [
        ("messages.write", true),
        ("push.application.com.acme messages.write", true),
        // A wildcard that is asked for counts as the characters it is written with.
        ("push.application.*", true),
        ("push.application.com.*", true),
        ("push.application.", false),
        ("push.*", false),
        ("*", false),
        ("messages.*", false),
        ("messages.write audit", false),
        ("messages.write  messages.write", false),
        ("push.application.\"", false),
    ];
    for (scope, granted) in cases {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let request = fixture
            .http
            .post(format!("{}/token", fixture.issuer()))
            .form(&form);
        let (status, answer) = read(request.basic_auth("narrow", Some("narrow"))).await;
        let expected = if granted {
            (StatusCode::OK, Value::Null)
        } else {
            (StatusCode::BAD_REQUEST, json!("invalid_scope"))
        };
        assert_eq!((status, answer["error"].clone()), expected, "{scope}");
    }
}

#[tokio::test]
async fn lone_wildcard_covers_every_scope_even_itself() {
    let fixture = Fixture::new().await;
    let (status, answer) = fixture
        .ask("grant_type=client_credentials&scope=*+a.*")
        .await;
    assert_eq!(
        (status, &answer["scope"]),
        (StatusCode::OK, &json!("* a.*"))
    );
}

#[tokio::test]
async fn client_may_authenticate_in_the_form_or_in_json() {
    let fixture = Fixture::new().await;
    let form = "grant_type=client_credentials&client_id=test&client_secret=test";
    assert_eq!(
        send(fixture.token_request(form)).await.status(),
        StatusCode::OK
    );

    let body = json!({
        "grant_type": "client_credentials", "client_id": "test", "client_secret": "test",
        "audience": "https://fhir.example.com", "scope": "system/*.read", "validity_period": 60,
    });
    let request = fixture
        .http
        .post(format!("{}/token", fixture.issuer()))
        .json(&body);
    let (status, answer) = read(request).await;
    assert_eq!(
        (status, &answer["expires_in"]),
        (StatusCode::OK, &json!(60))
    );
    assert_eq!(
        fixture.verify(&answer, Algorithm::EdDSA).await["aud"],
        "https://fhir.example.com"
    );
}

#[tokio::test]
async fn basic_credentials_are_form_decoded() {
    let fixture = Fixture::new().await;
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let request = fixture.token_request("grant_type=client_credentials&scope=read");
    let request = request.basic_auth(encode("odd:id & co"), Some(encode("100% +s/e=cret:")));
    assert_eq!(send(request).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn failed_authentication_is_challenged_with_basic() {
    let fixture = Fixture::new().await;
    let grant = "grant_type=client_credentials";
    for request in [
        fixture.token_request(grant),
        fixture
            .token_request(grant)
            .basic_auth("test", Some("wrong")),
        fixture
            .token_request(grant)
            .basic_auth("nobody", Some("test")),
        fixture.token_request(grant).bearer_auth("dGVzdDp0ZXN0"),
        fixture
            .token_request(grant)
            .header("authorization", "Basic ???"),
        fixture.token_request("grant_type=client_credentials&client_id=test&client_secret=wrong"),
    ] {
        let response = send(request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            response.headers()["www-authenticate"],
            r#"Basic realm="scopegate development""#
        );
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer["error"], "invalid_client");
        assert!(answer["error_description"].is_string());
    }
}

#[tokio::test]
async fn two_ways_of_authentication_at_once_are_an_invalid_request() {
    let fixture = Fixture::new().await;
    for request in [
        fixture
            .token_request("grant_type=client_credentials&client_id=test&client_secret=test")
            .basic_auth("test", Some("test")),
        fixture
            .token_request("grant_type=client_credentials")
            .basic_auth("test", Some("test"))
            .header("authorization", "Basic dGVzdDp0ZXN0"),
        fixture
            .token_request("grant_type=client_credentials&client_id=narrow")
            .basic_auth("test", Some("test")),
    ] {
        let (status, answer) = read(request).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request"))
        );
    }
}

#[tokio::test]
async fn malformed_token_requests_are_told_apart() {
    let fixture = Fixture::new().await;
    let cases = [
        ("", FORM, "invalid_request"),
        ("scope=a", FORM, "invalid_request"),
        ("grant_type=password", FORM, "unsupported_grant_type"),
        (
            "grant_type=client_credentials&scope=a&scope=b",
            FORM,
            "invalid_request",
        ),
        (
            "grant_type=client_credentials&x=&x=",
            FORM,
            "invalid_request",
        ),
        (
            "grant_type=client_credentials",
            "text/plain",
            "invalid_request",
        ),
        (
            r#"{"grant_type":"client_credentials","scope":"a","scope":"b"}"#,
            "application/json",
            "invalid_request",
        ),
        (
            r#"{"grant_type":"client_credentials","scope":["a"]}"#,
            "application/json",
            "invalid_request",
        ),
        (r#"["grant_type"]"#, "application/json", "invalid_request"),
        (
            r#"{"grant_type":"client_credentials"} x"#,
            "application/json",
            "invalid_request",
        ),
    ];
    for (body, content_type, error) in cases {
        let request = fixture.http.post(format!("{}/token", fixture.issuer()));
        let request = request
            .header("content-type", content_type)
            .body(body)
            .basic_auth("test", Some("test"));
        let (status, answer) = read(request).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!(error)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn large_token_request_is_refused() {
    let fixture = Fixture::new().await;
    let (status, _) = fixture
        .ask(&format!(
            "grant_type=client_credentials&scope={}",
            "a".repeat(64 * 1024)
        ))
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn mobile_first_token_endpoint_answers_too() {
    let fixture = Fixture::new().await;
    let request = fixture
        .http
        .post(format!("{}/mfp/api/az/v1/token", fixture.issuer()));
    let request = request
        .basic_auth("test", Some("test"))
        .form(&[("grant_type", "client_credentials"), ("scope", "")]);
    assert_eq!(send(request).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn introspection_tells_the_claims_of_an_active_token() {
    for algorithm in [
        SigningAlgorithm::Rs256,
        SigningAlgorithm::Es256,
        SigningAlgorithm::EdDsa,
    ] {
        let fixture = Fixture::with(algorithm).await;
        let token = fixture.token("scope=a+b&audience=orders").await;
        let response = send(
            fixture
                .introspection_request(&token)
                .basic_auth("test", Some("test")),
        )
        .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/json");
        let mut told: Value = response.json().await.expect("JSON");
        let told = told.as_object_mut().expect("an object");
        assert_eq!(
            (told.remove("active"), told.remove("token_type")),
            (Some(json!(true)), Some(json!("Bearer")))
        );
        assert_eq!(
            Value::Object(told.clone()),
            payload(&token),
            "{algorithm:?}"
        );
    }
}

#[tokio::test]
async fn opaque_token_stands_for_the_claims_that_a_jwt_would_carry() {
    let fixture = Fixture::issuing(TokenFormat::Opaque).await;
    let token = fixture
        .token("scope=a+b&audience=orders&validity_period=60")
        .await;
    assert_eq!(URL_SAFE_NO_PAD.decode(&token).expect("base64url").len(), 32);
    let opaque = fixture.introspect(&token).await;
    let (iat, jti) = (
        opaque["iat"].as_i64().expect("a time"),
        opaque["jti"].as_str().expect("an id"),
    );
    let expected = json!({
        "active": true, "token_type": "Bearer", "iss": fixture.issuer(), "sub": "test", "client_id": "test",
        "aud": "orders", "exp": iat + 60, "iat": iat, "jti": jti, "scope": "a b",
    });
    assert_eq!(opaque, expected);
}

#[tokio::test]
async fn expired_tokens_are_inactive_and_authorize_nothing() {
    let (jwt, opaque) = (
        Fixture::issuing(TokenFormat::Jwt).await,
        Fixture::issuing(TokenFormat::Opaque).await,
    );
    let mut tokens = Vec::new();
    for fixture in [&jwt, &opaque] {
        tokens.push((fixture, fixture.token("scope=*&validity_period=1").await));
    }
    // The tokens have a lifetime of one second, and the process has the real clock.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for (fixture, token) in tokens {
        assert_eq!(fixture.introspect(&token).await, json!({ "active": false }));
        let response = send(fixture.introspection_request(&token).bearer_auth(&token)).await;
        assert_eq!(
            response.headers()["www-authenticate"],
            r#"Bearer error="invalid_token""#
        );
    }
}

#[tokio::test]
async fn clients_and_bearers_may_introspect_at_both_endpoints() {
    for token_format in FORMATS {
        let fixture = Fixture::issuing(token_format).await;
        for path in ["/introspect", "/mfp/api/az/v1/introspection"] {
            introspect_with_every_authority(&fixture, path).await;
        }
    }
}

async fn introspect_with_every_authority(fixture: &Fixture, path: &str) {
    let token = fixture.token("scope=a").await;
    let request = |form: &[(&str, &str)]| {
        fixture
            .http
            .post(format!("{}{path}", fixture.issuer()))
            .form(form)
    };
    let form = [("token", &*token), ("token_type_hint", "refresh_token")];
    let mut requests = vec![
        request(&form).basic_auth("narrow", Some("narrow")),
        request(&[form[0], ("client_id", "test"), ("client_secret", "test")]),
    ];
    for scope in ["authorization.introspect", "a+authorization.*", "*"] {
        requests.push(request(&form).bearer_auth(fixture.token(&format!("scope={scope}")).await));
    }
    for request in requests {
        let (status, answer) = read(request).await;
        assert_eq!(
            (status, &answer["active"]),
            (StatusCode::OK, &json!(true)),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn introspection_without_authority_is_challenged_by_the_scheme_that_was_tried() {
    let fixture = Fixture::new().await;
    let token = fixture.token("scope=a").await;
    let request = || fixture.introspection_request(&token);
    let basic = r#"Basic realm="scopegate development""#;
    let no_scope = r#"Bearer error="insufficient_scope", scope="authorization.introspect""#;
    let (invalid, malformed) = (
        r#"Bearer error="invalid_token""#,
        r#"Bearer error="invalid_request""#,
    );
    for (request, status, error, challenge) in [
        (request(), 401, "invalid_client", basic),
        (
            request().basic_auth("test", Some("wrong")),
            401,
            "invalid_client",
            basic,
        ),
        (
            request().bearer_auth(&token),
            403,
            "insufficient_scope",
            no_scope,
        ),
        (
            request().bearer_auth("wrong"),
            401,
            "invalid_token",
            invalid,
        ),
        (
            request().bearer_auth(Fixture::new().await.token("scope=*").await),
            401,
            "invalid_token",
            invalid,
        ),
        (
            request().bearer_auth("two words"),
            400,
            "invalid_request",
            malformed,
        ),
    ] {
        let response = send(request).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["www-authenticate"], challenge);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer["error"], error);
    }
}

#[tokio::test]
async fn introspection_without_a_token_or_with_two_authorities_is_an_invalid_request() {
    let fixture = Fixture::new().await;
    let bearer = fixture.token("scope=*").await;
    let request = |form: &[(&str, &str)]| {
        fixture
            .http
            .post(format!("{}/introspect", fixture.issuer()))
            .form(form)
    };
    for request in [
        request(&[("token_type_hint", "access_token")]).basic_auth("test", Some("test")),
        request(&[("token", "")]).bearer_auth(&bearer),
        request(&[
            ("token", "a"),
            ("client_id", "test"),
            ("client_secret", "test"),
        ])
        .bearer_auth(&bearer),
        request(&[("token", "a")])
            .bearer_auth(&bearer)
            .bearer_auth(&bearer),
    ] {
        let (status, answer) = read(request).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn foreign_and_garbled_tokens_are_inactive_and_nothing_more_is_told() {
    let fixture = Fixture::new().await;
    let good = fixture.token("scope=a").await;
    let foreign = Fixture::new().await.token("scope=a").await;
    let (head, signature) = good.rsplit_once('.').expect("a signature");
    let (header, _) = head.split_once('.').expect("a header");
    let (_, foreign_payload) = foreign
        .rsplit_once('.')
        .expect("a signature")
        .0
        .split_once('.')
        .expect("a payload");
    for token in [
        &foreign,
        "garbage",
        "a.b.c",
        &format!("{head}."),
        &format!("{good}="),
        &format!("{head}.{}", signature.chars().rev().collect::<String>()),
        &format!("{header}.{foreign_payload}.{signature}"),
    ] {
        assert_eq!(
            fixture.introspect(token).await,
            json!({ "active": false }),
            "{token}"
        );
    }
}

#[tokio::test]
async fn revoked_token_is_inactive_and_the_others_stay_active() {
    for token_format in FORMATS {
        let fixture = Fixture::issuing(token_format).await;
        let form = |token: &str| {
            [
                ("token", token.to_owned()),
                ("client_id", "test".into()),
                ("client_secret", "test".into()),
            ]
        };
        let grant = || fixture.token("scope=*");
        let [first, second, third, other] =
            [grant().await, grant().await, grant().await, grant().await];
        for (token, revocation) in [
            (
                &first,
                fixture
                    .revocation_request(&first)
                    .basic_auth("test", Some("test")),
            ),
            (
                &second,
                fixture
                    .http
                    .post(format!("{}/revoke", fixture.issuer()))
                    .form(&form(&second)),
            ),
            (&third, fixture.end_of_session().bearer_auth(&third)),
        ] {
            let response = send(revocation).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(response.text().await.expect("a body"), "");
            assert_eq!(fixture.introspect(token).await, json!({ "active": false }));
            let response = send(fixture.introspection_request(&other).bearer_auth(token)).await;
            assert_eq!(
                response.headers()["www-authenticate"],
                r#"Bearer error="invalid_token""#
            );
        }
        assert_eq!(fixture.introspect(&other).await["active"], true);
    }
}

#[tokio::test]
async fn revoking_what_is_not_active_is_no_error() {
    for token_format in FORMATS {
        let fixture = Fixture::issuing(token_format).await;
        let token = fixture.token("scope=a").await;
        for token in [&*token, &*token, "garbage", "a.b.c"] {
            let response = send(
                fixture
                    .revocation_request(token)
                    .basic_auth("test", Some("test")),
            )
            .await;
            assert_eq!(response.status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn token_of_another_client_cannot_be_revoked() {
    for token_format in FORMATS {
        let fixture = Fixture::issuing(token_format).await;
        let token = fixture.token("scope=a").await;
        let request = fixture
            .revocation_request(&token)
            .basic_auth("narrow", Some("narrow"));
        let (status, answer) = read(request).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!("unauthorized_client"))
        );
        assert_eq!(fixture.introspect(&token).await["active"], true);
    }
}

#[tokio::test]
async fn revocation_needs_a_client_and_a_token() {
    let fixture = Fixture::new().await;
    let token = fixture.token("scope=*").await;
    for (request, status, error) in [
        (fixture.revocation_request(&token), 401, "invalid_client"),
        (
            fixture
                .revocation_request(&token)
                .basic_auth("test", Some("wrong")),
            401,
            "invalid_client",
        ),
        (
            fixture.revocation_request(&token).bearer_auth(&token),
            401,
            "invalid_client",
        ),
        (
            fixture
                .revocation_request("")
                .basic_auth("test", Some("test")),
            400,
            "invalid_request",
        ),
    ] {
        let (found, answer) = read(request).await;
        assert_eq!((found.as_u16(), &answer["error"]), (status, &json!(error)));
    }
    assert_eq!(fixture.introspect(&token).await["active"], true);
}

#[tokio::test]
async fn session_ends_only_by_an_active_token() {
    let fixture = Fixture::new().await;
    let token = fixture.token("scope=a").await;
    assert_eq!(
        send(fixture.end_of_session().bearer_auth(&token))
            .await
            .status(),
        StatusCode::OK
    );
    let invalid = r#"Bearer error="invalid_token""#;
    for (request, status, challenge) in [
        (fixture.end_of_session(), 401, "Bearer"),
        (
            fixture.end_of_session().basic_auth("test", Some("test")),
            401,
            "Bearer",
        ),
        (
            fixture.end_of_session().bearer_auth("garbage"),
            401,
            invalid,
        ),
        (fixture.end_of_session().bearer_auth(&token), 401, invalid),
        (
            fixture.end_of_session().bearer_auth("two words"),
            400,
            r#"Bearer error="invalid_request""#,
        ),
    ] {
        let response = send(request).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["www-authenticate"], challenge);
    }
}

#[tokio::test]
async fn both_metadata_documents_lead_to_tokens_and_keys() {
    let fixture = Fixture::new().await;
    for document in ["oauth-authorization-server", "openid-configuration"] {
        let (_, metadata) = read(
            fixture
                .http
                .get(format!("{}/.well-known/{document}", fixture.issuer())),
        )
        .await;
        assert_eq!(metadata["issuer"], fixture.issuer());
        assert_eq!(
            metadata["token_endpoint"],
            format!("{}/token", fixture.issuer())
        );
        assert_eq!(
            metadata["introspection_endpoint"],
            format!("{}/introspect", fixture.issuer())
        );
        let methods = json!(["client_secret_basic", "client_secret_post"]);
        assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);
        assert_eq!(
            metadata["introspection_endpoint_auth_methods_supported"],
            methods
        );
        assert_eq!(
            metadata["revocation_endpoint"],
            format!("{}/revoke", fixture.issuer())
        );
        assert_eq!(
            metadata["revocation_endpoint_auth_methods_supported"],
            methods
        );
        assert_eq!(metadata["jwks_uri"], format!("{}/jwks", fixture.issuer()));
        assert_eq!(
            metadata["grant_types_supported"],
            json!(["client_credentials"])
        );
    }
}

#[tokio::test]
async fn wrong_method_is_405_with_allow_and_unknown_path_404() {
    let fixture = Fixture::new().await;
    let response = send(fixture.http.get(format!("{}/token", fixture.issuer()))).await;
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().expect("ok"))
    );
    for (path, allowed) in [
        ("introspect", "POST"),
        ("revoke", "POST"),
        ("Session", "DELETE"),
    ] {
        let response = send(fixture.http.get(format!("{}/{path}", fixture.issuer()))).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], allowed);
    }
    let response = send(fixture.http.post(format!("{}/jwks", fixture.issuer()))).await;
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    let response = send(fixture.http.get(format!("{}/token/", fixture.issuer()))).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rebound_names_are_misdirected() {
    let fixture = Fixture::new().await;
    let port = fixture.servers.issuer_address.port();
    for (host, status) in [
        (format!("localhost:{port}"), "200 OK"),
        (format!("[::1]:{port}"), "200 OK"),
        (format!("evil.example:{port}"), "421 Misdirected Request"),
        ("localhost".to_owned(), "421 Misdirected Request"),
    ] {
        let request = format!("GET /jwks HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = raw(fixture.servers.issuer_address, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{host}: {answer}"
        );
    }
    // The echo upstream sees the port of the gateway before it.
    for (host, status) in [
        ("localhost:8080", "200 OK"),
        ("evil.example", "421 Misdirected Request"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = raw(fixture.servers.echo_address, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{host}: {answer}"
        );
    }
}

#[tokio::test]
async fn echo_describes_the_request_and_hides_its_token() {
    let fixture = Fixture::new().await;
    let request = fixture
        .http
        .put(format!("{}/a%20b?q=1&q=2", fixture.echo()));
    let request = request
        .bearer_auth("secret-token")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .body("héllo");
    let (status, echoed) = read(request).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&echoed["method"], &echoed["path"]),
        (&json!("PUT"), &json!("/a%20b?q=1&q=2"))
    );
    assert_eq!(
        (&echoed["body_size"], &echoed["body"]),
        (&json!(6), &json!("héllo"))
    );
    let headers = echoed["headers"].as_array().expect("headers");
    for header in [
        ["x-twice", "1"],
        ["x-twice", "2"],
        ["authorization", "Bearer (redacted, 12 characters)"],
    ] {
        assert!(headers.contains(&json!(header)), "{headers:?}");
    }
    assert!(!echoed.to_string().contains("secret-token"));
}

#[tokio::test]
async fn echo_counts_what_it_does_not_show() {
    let fixture = Fixture::new().await;
    for body in [vec![b'a'; 8 * 1024 * 1024], vec![0xff, 0xfe]] {
        let size = body.len();
        let (_, echoed) = read(fixture.http.post(fixture.echo()).body(body)).await;
        assert_eq!(
            (&echoed["body_size"], &echoed["body"]),
            (&json!(size), &Value::Null)
        );
    }
}

#[tokio::test]
async fn address_in_use_or_not_loopback_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("its address");
    let refused = start(DevelopmentSettings {
        listen: address,
        ..settings(SigningAlgorithm::EdDsa)
    })
    .await;
    let message = refused.expect_err("the port is taken").to_string();
    assert!(
        message.starts_with(&format!("cannot listen on {address}: ")),
        "{message}"
    );

    let everywhere = ([0, 0, 0, 0], 0).into();
    let refused = start(DevelopmentSettings {
        echo: everywhere,
        ..settings(SigningAlgorithm::EdDsa)
    })
    .await;
    let message = refused.expect_err("not loopback").to_string();
    assert_eq!(
        message,
        "cannot listen on 0.0.0.0:0: expected a loopback address"
    );
}

#[tokio::test]
async fn dropped_servers_close_their_connections_and_free_their_ports() {
    let fixture = Fixture::new().await;
    let address = fixture.servers.issuer_address;
    let mut idle = TcpStream::connect(address).await.expect("a connection");
    idle.write_all(b"GET /jwks HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("sent");
    idle.read_u8().await.expect("it answers");
    drop(fixture);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest)
        .await
        .expect("the connection closes");
    TcpListener::bind(address).await.expect("the port is free");
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let fixture = Fixture::new().await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let address = fixture.servers.issuer_address;
        let body = "grant_type=client_credentials&client_id=test&client_secret=test";
        let head = format!(
            "POST /token HTTP/1.1\r\nHost: {address}\r\n{name}: {value}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw(address, &head).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{name}: {answer}");
    }
}

#[test]
fn settings_do_not_print_secrets() {
    assert!(!format!("{:?}", settings(SigningAlgorithm::Rs256)).contains("100% +s"));
}
