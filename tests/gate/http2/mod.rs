//! HTTP/2 on either side of the gateway, down to the single frame.

mod answers;
mod bodies;
mod client;
mod drain;
mod far;
mod floods;
mod frames;
mod identity;
mod limits;
mod patience;
mod requests;
mod retries;
mod uploads;
mod upstreams;
mod windows;
mod wire;

use std::thread;

/// Has every case wait beside the others.
fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, claim: impl Fn(T) + Sync) {
    let claim = &claim;
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || claim(case));
        }
    });
}
