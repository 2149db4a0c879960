//! Several issuers.
