//! The threads that wait for stores. Callers are not asynchronous: they wait for an answer.

use std::{
    future::Future,
    io,
    sync::{OnceLock, mpsc},
};

use tokio::runtime::{Builder, Runtime};

fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        headspan_net::install_tls();
        Builder::new_multi_thread().worker_threads(2).thread_name("store").enable_all().build()
    });
    made.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Does something in the background.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    runtime()?.spawn(work);
    Ok(())
}

/// Waits for something. It may be called from threads of another runtime, which it blocks.
pub(crate) fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    let (answer, answered) = mpsc::sync_channel(1);
    spawn(async move {
        // Whoever asked may be gone.
        drop(answer.send(work.await));
    })?;
    answered.recv().map_err(|_gone| io::Error::other("a request to a store panicked"))
}
