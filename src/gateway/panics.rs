//! A panic costs the request that it happens in, and nothing else.
//!
//! A worker serves thousands of connections, and a connection of HTTP/2 a hundred requests. What a request takes on its way
//! it gives back when it is dropped, so unwinding leaves nothing taken or borrowed.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use super::refusal::Refusal;

/// What comes of a part of a request's way, even if that is a panic.
///
/// Pinned by the caller: a future that is an argument takes twice its room.
pub(super) async fn catch_panic<T, F>(mut part: Pin<&mut F>) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    poll_fn(|context| {
        catch_panic_now(|| part.as_mut().poll(context))
            .unwrap_or(Poll::Ready(Err(Refusal::Panicked)))
    })
    .await
}

/// What `part` returns; none where it panics. It must not be used again then.
pub(super) fn catch_panic_now<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn panic_in_any_poll_is_a_refusal_and_releases_what_was_borrowed() {
        let shared = Rc::new(RefCell::new(0));
        let part = pin!(async {
            tokio::task::yield_now().await;
            let mut shared = shared.borrow_mut();
            *shared += 1;
            let none: [u8; 0] = [];
            Ok::<u8, Refusal>(none[*shared])
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let outcome = runtime.block_on(catch_panic(part));
        assert!(matches!(outcome, Err(Refusal::Panicked)), "{outcome:?}");
        assert_eq!(shared.try_borrow_mut().map(|shared| *shared).ok(), Some(1));
    }

    #[test]
    fn what_does_not_panic_is_as_it_was() {
        let part = pin!(async { Ok::<_, Refusal>(7) });
        let mut ready = pin!(catch_panic(part));
        let polled = ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(7))), "{polled:?}");
    }
}
