//! Invented, new, known and dropped tenants, with an authorization server that counts its requests.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::Backoff;
use crate::http_client::HttpClient;
use crate::oauth::claims::Expectation;
use crate::oauth::jose::Algorithm;
use crate::oauth::scope::GrantedWildcards;
use crate::oauth::tenant::TenantTemplate;
use crate::sync::Epoch;
use crate::verify::cache::CacheLimit;
use crate::verify::key_ring::RefreshPolicy;
use crate::verify::settings::TenantTemplates;

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const COOLDOWN: Duration = Duration::from_secs(3600);

/// A server that has keys at `/NAME/keys` if the name begins with `real`.
struct KeyServer {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(respond(socket, Arc::clone(&counted)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn respond(mut socket: TcpStream, requests: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let (status, body) = match head {
        _ if head.starts_with(b"GET /real") => ("200 OK", KEYS),
        _ if head.starts_with(b"GET /broken") => ("500 Broken", ""),
        _ => ("404 Not Found", ""),
    };
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let _ = socket.write_all(response.as_bytes()).await;
}

fn settings(server: &KeyServer, accepted: AcceptedTenants) -> Arc<IssuerSettings> {
    let template = format!("http://{}/{{tenant}}", server.address);
    let template = TenantTemplate::parse(&template).expect("a template");
    let issuers = vec![template.expect("a parameter")];
    Arc::new(IssuerSettings {
        name: "corp".into(),
        expectation: Expectation {
            issuer_required: true,
            expiry_required: true,
            granted_wildcards: GrantedWildcards::Literal,
            ..Expectation::of_any_token()
        },
        token_types: Vec::new(),
        verifies_signatures: true,
        introspects_jwts: false,
        token_prefix: String::new(),
        cache_max_age: Duration::MAX,
        cache_limit: CacheLimit::Entries(1),
        tenancy: Tenancy::Template(TenantTemplates { issuers, accepted }),
    })
}

fn tenants_of(
    server: &KeyServer,
    accepted: AcceptedTenants,
    max: usize,
    cooldown: Duration,
) -> Arc<Tenants> {
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let second = Duration::from_secs(1);
    let place = format!("http://{}/{{tenant}}/keys", server.address);
    let place = TenantTemplate::parse(&place).expect("a template");
    let keys = TenantKeys::Published(Box::new(PublishedTenantKeys {
        place: TenantKeysPlace::OfTenant(place.expect("a parameter")),
        http: HttpClient::new(tls, second, 5 * second).expect("a client"),
        algorithms: vec![Algorithm::EdDSA],
        policy: RefreshPolicy {
            default_lifetime: COOLDOWN,
            min_lifetime: COOLDOWN,
            max_lifetime: COOLDOWN,
            max_stale: COOLDOWN,
            unknown_key_cooldown: COOLDOWN,
            backoff: Backoff {
                first: COOLDOWN,
                max: COOLDOWN,
            },
        },
        epoch: Epoch::default(),
    }));
    let tenants = Arc::new(Tenants::new(
        settings(server, accepted),
        keys,
        max,
        cooldown,
    ));
    tenants.start();
    tenants
}

fn name(text: &str) -> TenantName {
    TenantName::parse(text).expect(text)
}

fn client(number: usize) -> IpAddr {
    let number = u32::try_from(number).expect("a small number");
    IpAddr::from((0x0A00_0000 + number).to_be_bytes())
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

/// Makes a tenant known at this time.
async fn make_known(tenants: &Arc<Tenants>, tenant: &str, number: usize, now: i64) -> TenantIssuer {
    let found = tenants.find(&name(tenant), client(number)).await;
    let issuer = found.unwrap_or_else(|error| panic!("{tenant}: {error:?}"));
    tenants.admit(&issuer, at(now));
    issuer
}

fn is_unknown(outcome: &Result<TenantIssuer, VerifyError>) -> bool {
    matches!(
        outcome,
        Err(VerifyError::Invalid {
            reason: "unknown_issuer",
            ..
        })
    )
}

fn is_overloaded(outcome: &Result<TenantIssuer, VerifyError>) -> bool {
    matches!(outcome, Err(VerifyError::Overloaded { .. }))
}

fn on_trial(tenants: &Tenants) -> usize {
    lock(&tenants.state).on_trial.len()
}

#[tokio::test]
async fn hundred_thousand_invented_tenants_cost_a_hundred_fetches_and_harm_no_known_one() {
    let server = KeyServer::start().await;
    let tenants = tenants_of(&server, AcceptedTenants::Any, 3, COOLDOWN);
    let mut known = Vec::new();
    for number in 0..3 {
        known.push(make_known(&tenants, &format!("real-{number}"), number, 0).await);
    }
    let (mut unknown, mut overloaded) = (0, 0);
    for number in 0..100_000 {
        // As many clients as tenants, and every second name exists.
        let kind = if number % 2 == 0 {
            "invented"
        } else {
            "real-also"
        };
        let outcome = tenants
            .find(&name(&format!("{kind}-{number}")), client(number))
            .await;
        unknown += usize::from(is_unknown(&outcome));
        overloaded += usize::from(is_overloaded(&outcome));
        // A tenant whose keys are there still has no verified token.
        if number % 20_000 == 0 {
            for issuer in &known {
                let tenant = issuer.settings.tenant_name().expect("a tenant").clone();
                let found = tenants.find(&tenant, client(number)).await.expect("known");
                assert!(found.is(issuer), "{tenant}");
                assert!(tenants.keys_of(&issuer.settings).is_some(), "{tenant}");
            }
        }
    }
    // Three of the hundred were those that are known.
    assert_eq!(server.requests(), 100);
    assert_eq!((unknown, overloaded), (49, 100_000 - 97));
    let state = lock(&tenants.state);
    assert_eq!((state.on_trial.len(), state.known.len()), (97, 3));
    let still_in_use = known.iter().filter_map(TenantIssuer::tenant_use);
    assert_eq!(still_in_use.filter(|one| !one.is_dropped()).count(), 3);
}

#[tokio::test]
async fn one_client_uses_up_its_own_share_of_new_tenants_only() {
    let server = KeyServer::start().await;
    let tenants = tenants_of(&server, AcceptedTenants::Any, 3, COOLDOWN);
    for number in 0..1000 {
        let outcome = tenants
            .find(&name(&format!("invented-{number}")), client(1))
            .await;
        let is_expected = if number < 10 {
            is_unknown
        } else {
            is_overloaded
        };
        assert!(is_expected(&outcome), "{number}: {outcome:?}");
    }
    assert_eq!(server.requests(), 10);
    make_known(&tenants, "real", 2, 0).await;
}

#[tokio::test]
async fn absent_tenant_and_failing_server_are_asked_once_in_the_cooldown() {
    let server = KeyServer::start().await;
    let tenants = tenants_of(&server, AcceptedTenants::Any, 3, COOLDOWN);
    for (number, tenant) in ["invented", "broken", "real"].into_iter().enumerate() {
        let finds = (0..50).map(|_| {
            let (tenants, name) = (Arc::clone(&tenants), name(tenant));
            tokio::spawn(async move { tenants.find(&name, client(1)).await })
        });
        for find in finds.collect::<Vec<_>>() {
            let outcome = find.await.expect("no panic");
            let is_expected = match tenant {
                "invented" => is_unknown(&outcome),
                "broken" => matches!(
                    outcome,
                    Err(VerifyError::Unavailable { retry_after, .. }) if retry_after > COOLDOWN / 2
                ),
                _ => outcome.is_ok(),
            };
            assert!(is_expected, "{tenant}: {outcome:?}");
        }
        assert_eq!(server.requests(), number + 1, "{tenant}");
    }
    let report = tenants.report();
    assert_eq!((report.fetched, report.failed), (1, 2));
    // Nothing is verified yet, so none of the keys counts.
    assert_eq!(report.usable, Some(0));
}

#[tokio::test]
async fn trial_ends_without_a_verified_token_and_its_fetches_still_count() {
    let server = KeyServer::start().await;
    let tenants = tenants_of(&server, AcceptedTenants::Any, 3, Duration::from_millis(20));
    let found = tenants.find(&name("real"), client(1)).await.expect("keys");
    assert!(tenants.keys_of(&found.settings).is_some());
    let weak = Arc::downgrade(found.ring().expect("a ring"));
    drop(found);
    // The keys are gone, and nothing refreshes them.
    while weak.strong_count() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(on_trial(&tenants), 0);
    assert_eq!(tenants.report().fetched, 1);
    let again = tenants.find(&name("real"), client(1)).await.expect("keys");
    tenants.admit(&again, at(0));
    let report = tenants.report();
    assert_eq!((report.fetched, report.usable), (2, Some(1)));
    // The end of its trial does not drop a known tenant.
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(tenants.keys_of(&again.settings).is_some());
}

#[tokio::test]
async fn verified_token_of_one_more_tenant_drops_the_one_without_for_longest() {
    let server = KeyServer::start().await;
    let tenants = tenants_of(&server, AcceptedTenants::Any, 3, COOLDOWN);
    let mut known = Vec::new();
    for (number, now) in [(0, 10), (1, 20), (2, 20)] {
        known.push(make_known(&tenants, &format!("real-{number}"), number, now).await);
    }
    // A later token of the first one.
    known[0].tenant_use().expect("a tenant").note(at(30));
    let is_in_use = |tenants: &Tenants, known: &[TenantIssuer]| -> Vec<bool> {
        let one = |issuer: &TenantIssuer| {
            let dropped = issuer.tenant_use().expect("a tenant").is_dropped();
            let keys = tenants.keys_of(&issuer.settings).is_some();
            assert_eq!(dropped, !keys);
            keys
        };
        known.iter().map(one).collect()
    };
    let new = tenants
        .find(&name("real-3"), client(3))
        .await
        .expect("keys");
    assert_eq!(is_in_use(&tenants, &known), [true; 3]);
    tenants.admit(&new, at(40));
    assert_eq!(is_in_use(&tenants, &known), [true, false, true]);
    known.push(new);
    known.push(make_known(&tenants, "real-4", 4, 50).await);
    assert_eq!(
        is_in_use(&tenants, &known),
        [true, false, false, true, true]
    );
    // A dropped tenant comes back with its next token, and its old settings do not.
    let back = make_known(&tenants, "real-1", 1, 60).await;
    assert!(!back.is(&known[1]));
    assert_eq!(
        is_in_use(&tenants, &known),
        [false, false, false, true, true]
    );
    let report = tenants.report();
    assert_eq!((report.fetched, report.usable), (6, Some(3)));
}

#[tokio::test]
async fn listed_tenants_are_fetched_at_the_start_and_no_other_is_ever() {
    let server = KeyServer::start().await;
    let listed = HashSet::from(["real-1", "real-2", "invented"].map(name));
    let tenants = tenants_of(&server, AcceptedTenants::Listed(listed), 3, COOLDOWN);
    tenants.wait_for_keys(Duration::from_secs(5)).await;
    assert_eq!(server.requests(), 3);
    assert_eq!(tenants.report().usable, Some(2));
    for tenant in ["real-1", "real-2"] {
        let issuer = tenants.find(&name(tenant), client(1)).await.expect("keys");
        assert!(issuer.keys.current().is_ok(), "{tenant}");
        tenants.admit(&issuer, at(0));
    }
    // Its keys are missing, which the operator must see.
    let issuer = tenants
        .find(&name("invented"), client(1))
        .await
        .expect("listed");
    assert!(issuer.keys.current().is_err());
    let url = |tenant: &str| format!("http://{}/{tenant}", server.address);
    assert_eq!(tenants.tenant_of(&url("real-3")), None);
    assert_eq!(tenants.tenant_of(&url("real-1")), Some(name("real-1")));
    let outcome = tenants.find(&name("real-3"), client(1)).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn settings_of_a_tenant_have_its_own_issuer_and_rules() {
    let server = KeyServer::start().await;
    let tenants = tenants_of(&server, AcceptedTenants::Any, 3, COOLDOWN);
    let one = tenants.examine(&name("one")).expect("settings");
    let url = |tenant: &str| format!("http://{}/{tenant}", server.address);
    assert!(one.settings.is_called(&url("one")));
    assert!(!one.settings.is_called(&url("two")));
    assert!(tenants.settings.is_called(&url("two")));
    assert!(!tenants.settings.is_called(&url("{tenant}")));
    assert!(!tenants.settings.is_called(&url("..")));
    // It was only looked at.
    assert_eq!((on_trial(&tenants), server.requests()), (0, 0));
}
