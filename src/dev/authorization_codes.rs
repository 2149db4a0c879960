//! Authorization codes, and the requests that wait for the button of the consent page.
//!
//! 1. A code is redeemed once, successfully or not, within [`CODE_LIFETIME`].
//! 2. A second attempt reveals a stolen code. It ends the token of the first one (RFC 6749 §4.1.2).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::access_tokens::random_text;
use super::clients::Client;
use super::error::RequestError;
use super::expiring_map::ExpiringMap;
use super::pkce::CodeChallenge;
use super::redirect_uri::RedirectUri;
use crate::oauth::UnixTime;
use crate::sync::lock;

const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// How long a consent page waits for its button.
const PAGE_LIFETIME: Duration = Duration::from_secs(600);

/// The maximum number of codes, and of open consent pages. The oldest ones end beyond it.
const MAX_STORED: usize = 1_000;

/// An authorization request without faults (RFC 6749 §4.1.1).
#[derive(Clone)]
pub(super) struct AuthorizationRequest {
    pub(super) client: Arc<Client>,
    pub(super) redirect_uri: RedirectUri,
    pub(super) challenge: CodeChallenge,
    pub(super) scope: String,
    pub(super) resources: Vec<String>,
    pub(super) state: Option<String>,
}

/// The token that a redeemed code leads to.
#[derive(Clone)]
pub(super) struct TokenId {
    pub(super) jti: String,
    pub(super) expires_at: UnixTime,
}

/// What a code stands for.
pub(super) enum Redemption {
    /// The first attempt.
    Granted(Box<AuthorizationRequest>),
    /// A later one. The token that the first attempt got must end.
    Repeated(TokenId),
}

enum Code {
    Unused(Box<AuthorizationRequest>),
    Used(TokenId),
}

pub(super) struct AuthorizationCodes {
    pages: Mutex<ExpiringMap<AuthorizationRequest>>,
    codes: Mutex<ExpiringMap<Code>>,
}

impl AuthorizationCodes {
    pub(super) fn new() -> Self {
        Self {
            pages: Mutex::new(ExpiringMap::new(MAX_STORED)),
            codes: Mutex::new(ExpiringMap::new(MAX_STORED)),
        }
    }

    /// Stores a request whose page is shown. The result stands in that page alone, so that nobody
    /// else can press its button.
    pub(super) fn open_page(
        &self,
        request: AuthorizationRequest,
        now: UnixTime,
    ) -> Result<String, RequestError> {
        let id = random_text::<32>()?;
        lock(&self.pages).insert(&id, request, now.later_by(PAGE_LIFETIME), now);
        Ok(id)
    }

    /// The request of a page. Its button works once.
    pub(super) fn close_page(&self, id: &str, now: UnixTime) -> Option<AuthorizationRequest> {
        lock(&self.pages).take(id, now)
    }

    /// Issues a code for a request.
    pub(super) fn issue(
        &self,
        request: AuthorizationRequest,
        now: UnixTime,
    ) -> Result<String, RequestError> {
        let code = random_text::<32>()?;
        let unused = Code::Unused(Box::new(request));
        lock(&self.codes).insert(&code, unused, now.later_by(CODE_LIFETIME), now);
        Ok(code)
    }

    /// Ends a code. `token` is the one that is issued for it if the attempt succeeds.
    pub(super) fn redeem(&self, code: &str, token: TokenId, now: UnixTime) -> Option<Redemption> {
        let mut codes = lock(&self.codes);
        match codes.take(code, now)? {
            Code::Unused(request) => {
                let until = token.expires_at;
                codes.insert(code, Code::Used(token), until, now);
                Some(Redemption::Granted(request))
            }
            Code::Used(first) => {
                codes.insert(code, Code::Used(first.clone()), first.expires_at, now);
                Some(Redemption::Repeated(first))
            }
        }
    }
}
