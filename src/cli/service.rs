//! Notifications to the service manager (`sd_notify(3)`). Without `NOTIFY_SOCKET` none is sent.
//!
//! Nothing depends on them: a notification that cannot be sent is logged, and the gateway
//! continues.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock;
use crate::server::Liveness;

/// The gateway serves all listeners. Sent after the start, and after each [`reloading`], whatever
/// its outcome.
pub fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// A reload has begun. [`ready`] ends it.
pub fn reloading() {
    // One message: with Type=notify-reload, systemd treats RELOADING=1 without a time as a failure.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("reloading"),
        ]),
        Err(error) => tracing::warn!(%error, "cannot read the monotonic clock"),
    }
}

/// The gateway stops, and completes the requests in flight.
pub(super) fn stopping() {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("completing the requests in flight"),
    ]);
}

/// Notifies the watchdog twice in each `WATCHDOG_USEC`, as long as every worker is alive. Returns
/// at once if there is no watchdog.
///
/// When one worker hangs, its clients wait in vain. The notifications then stop, so that the
/// service manager restarts the gateway.
pub(super) async fn watchdog(liveness: Liveness) {
    let Some(timeout) = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero()) else {
        return;
    };
    let mut interval = tokio::time::interval((timeout / 2).max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if liveness.is_alive_within(timeout / 2, clock::now()) {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("worker hangs; watchdog not notified");
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn reloading_and_its_time_are_one_message() {
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            reloading();
            ready();
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a path of our own");
        manager
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a time-out");
        // The environment must not change while the process has threads, so the test runs again in
        // a child process.
        let mut child = Command::new(std::env::current_exe().expect("a path"));
        child
            .args([
                "--exact",
                "cli::service::tests::reloading_and_its_time_are_one_message",
            ])
            .stdout(Stdio::null());
        assert!(
            child
                .env("NOTIFY_SOCKET", &path)
                .status()
                .expect("a child")
                .success()
        );
        let received = || {
            let mut message = [0; 1024];
            let length = manager.recv(&mut message).expect("a message");
            String::from_utf8_lossy(&message[..length]).into_owned()
        };
        let message = received();
        let lines: Vec<_> = message.lines().collect();
        let [reloading, time, status] = lines[..] else {
            panic!("{message}")
        };
        assert_eq!((reloading, status), ("RELOADING=1", "STATUS=reloading"));
        assert!(
            time.strip_prefix("MONOTONIC_USEC=")
                .is_some_and(|time| time.parse::<u64>().is_ok()),
            "{message}"
        );
        assert_eq!(received(), "READY=1\nSTATUS=serving\n");
    }
}
