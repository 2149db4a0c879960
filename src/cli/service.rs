//! What the service manager is told, where one asked for it (`sd_notify(3)`): with no `NOTIFY_SOCKET`, nothing at all.
//!
//! Nothing depends on its listening: where a message cannot be sent, that is logged and the gateway goes on.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock;
use crate::server::Liveness;

/// Everything listens and is served: at the start, and after each [`reloading`], whether or not that changed anything.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The file is being read again; until [`ready`], nobody waits for it to have effect.
pub fn reloading() {
    // Both in one message: systemd takes RELOADING=1 without the time for a failure (Type=notify-reload).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("reloading"),
        ]),
        Err(error) => tracing::warn!(%error, "cannot read the monotonic clock"),
    }
}

/// The gateway was asked to stop, and finishes what is under way.
pub(super) fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing the requests under way"),
    ]);
}

/// Tells twice in each `WATCHDOG_USEC` that the gateway is alive, as long as every worker is; returns at once where nobody
/// watches.
///
/// A gateway of which one worker hangs leaves that worker's clients waiting. So it is silent then, and restarted.
pub(super) async fn watchdog(liveness: Liveness) {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return;
    };
    let mut interval = tokio::time::interval((within / 2).max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if liveness.is_alive_within(within / 2, clock::now()) {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("worker hangs; watchdog not notified");
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
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
        // The environment of a process is not to be changed while it has threads: this test once more, as a child.
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
