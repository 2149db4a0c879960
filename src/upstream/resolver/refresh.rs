//! Repeats the DNS lookups of an upstream on the control plane.

use std::sync::Arc;

use crate::clock;
use crate::upstream::health_check;
use crate::upstream::settings::TargetAddress;
use crate::upstream::shared::SharedUpstream;

/// Starts to look up every target that has a name, until the upstream is dropped.
pub(in crate::upstream) fn start(upstream: &Arc<SharedUpstream>) {
    let targets = upstream.settings().targets.iter().enumerate();
    for (index, _) in targets.filter(|(_, target)| target.is_name()) {
        // A task for each name: a DNS server that hangs does not delay the other names.
        let mut has_failed = false;
        tokio::spawn(clock::repeat_while_alive(
            Arc::downgrade(upstream),
            async move |upstream: &Arc<SharedUpstream>| {
                look_up(upstream, index, &mut has_failed).await;
                Some(upstream.resolver.interval)
            },
        ));
    }
}

async fn look_up(shared: &Arc<SharedUpstream>, index: usize, has_failed: &mut bool) {
    let settings = shared.settings();
    let (upstream, target) = (&settings.name, &settings.targets[index]);
    let TargetAddress::Network { host, port } = &target.address else {
        return;
    };
    match shared.resolver.look_up(host, *port).await {
        Ok(addresses) => {
            *has_failed = false;
            let added = shared.endpoints.replace(index, target, &addresses);
            if !added.is_empty() {
                tracing::debug!(%upstream, %target, ?addresses, "upstream addresses changed");
            }
            health_check::start(shared, &added);
        }
        Err(error) => {
            // Once, and not at every lookup of an outage.
            if !*has_failed {
                tracing::warn!(%upstream, %target, %error, "DNS lookup failed; the previous addresses stay in use");
            }
            *has_failed = true;
        }
    }
}
