//! **Purpose**: one way to ask a whole process to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Becomes true once when the process shall stop; false until then.
pub type Shutdown = watch::Receiver<bool>;

/// A shutdown that SIGTERM or SIGINT asks for. A second signal ends the process at once, for
/// whoever does not want to wait.
///
/// # Errors
/// When signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<Shutdown> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked {
                tracing::warn!("second signal, ending without waiting");
                std::process::exit(130);
            }
            asked = true;
            tracing::info!("signal received, stopping");
            sender.send_replace(true);
        }
    });
    Ok(receiver)
}

/// Waits until the process shall stop. A sender that is gone counts as a wish to stop.
pub async fn requested(shutdown: &mut Shutdown) {
    // The error means that the sender is gone, which is the other way to be asked.
    let _stopped_or_gone = shutdown.wait_for(|stop| *stop).await;
}
