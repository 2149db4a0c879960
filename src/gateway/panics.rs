//! A panic ends the request that caused it, and nothing else.
//!
//! A worker serves thousands of connections, and an HTTP/2 connection a hundred requests. Whatever
//! a request holds it releases on drop, so unwinding leaves nothing locked or borrowed.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use super::refusal::Refusal;

/// Polls a future, and turns a panic into a refusal.
///
/// The caller pins it: a future that is passed as an argument takes twice its size.
pub(super) async fn catch_panic<T, F>(mut part: Pin<&mut F>) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    poll_fn(|context| {
        catch_panic_now(|| part.as_mut().poll(context))
            .unwrap_or(Poll::Ready(Err(Refusal::Internal)))
    })
    .await
}

/// Calls a function; none if it panics. What it borrowed must not be used again then.
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
    fn panic_in_a_poll_is_a_refusal_and_releases_borrows() {
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
        assert!(matches!(outcome, Err(Refusal::Internal)), "{outcome:?}");
        assert_eq!(shared.try_borrow_mut().map(|shared| *shared).ok(), Some(1));
    }

    #[test]
    fn result_without_a_panic_is_unchanged() {
        let part = pin!(async { Ok::<_, Refusal>(7) });
        let mut ready = pin!(catch_panic(part));
        let polled = ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(7))), "{polled:?}");
    }
}
