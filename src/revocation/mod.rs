//! What is revoked before it expires: the store, its file, and its digests.
//!
//! 1. An entry is a digest of the issuer and of what is revoked, with two times. Values such as a
//!    subject are in no memory, file or stream.
//! 2. Entries live as long as the tokens that they revoke can. They are never evicted: a full store
//!    accepts nothing more, because what it forgets would pass again.
//! 3. An entry is in the store before the [`Epoch`](crate::sync::Epoch) advances. Cached tokens are
//!    checked again only when it has advanced, so a request costs nothing more until then.
//! 4. With a file, [`Revocations::revoke`] ends once the entry is on the disk.
//!
//! - `digest`: what identifies an entry; `token_digests`: the digests of one token
//! - `entries`: the entries in memory; `store`: the same with the file and those who listen
//! - `file_format`: the lines of the file; `file`: reads, locks, appends and compacts it;
//!   `writer`: the thread that does so

mod digest;
mod entries;
mod file;
mod file_format;
mod store;
mod token_digests;
mod writer;

pub use digest::{Digest, Revocation, Selector, TokenHash};
pub use entries::{Entry, Full, IssuedBefore};
pub use file::FileFault;
pub use store::{Counts, Origin, Revocations, RevokeError};
pub use token_digests::TokenDigests;
