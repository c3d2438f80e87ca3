use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use crate::error::WebError;

/// Bounded work off the async threads: so many questions are answered at once, so many more wait, and the next is turned away.
#[derive(Clone)]
pub(super) struct Work {
    running: Arc<Semaphore>,
    accepted: Arc<Semaphore>,
    patience: Duration,
}

impl Work {
    pub(super) fn new(running: usize, accepted: usize, patience: Duration) -> Self {
        Self { running: Arc::new(Semaphore::new(running)), accepted: Arc::new(Semaphore::new(accepted)), patience }
    }

    /// Answers a question on a thread of its own. The place is given back when the work ends, not when the client leaves, so
    /// that impatient clients cannot pile up work.
    pub(super) async fn answer<T: Send + 'static>(
        &self,
        question: impl FnOnce() -> Result<T, WebError> + Send + 'static,
    ) -> Result<T, WebError> {
        let Ok(accepted) = Arc::clone(&self.accepted).try_acquire_owned() else {
            return Err(WebError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many questions at once; ask again in a moment",
            ));
        };
        let running = Arc::clone(&self.running);
        let work = async move {
            let place = running.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _kept_to_the_end = (accepted, place);
                question()
            })
            .await
        };
        match tokio::time::timeout(self.patience, work).await {
            Err(_elapsed) => {
                let message = format!("no answer within {} seconds", self.patience.as_secs());
                Err(WebError::new(StatusCode::GATEWAY_TIMEOUT, message))
            }
            Ok(Err(panicked)) => {
                let message = "the question could not be answered; the log says why";
                Err(WebError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
                    .logged_as(format!("a question ended in a panic: {panicked}")))
            }
            Ok(Ok(answer)) => answer,
        }
    }
}
