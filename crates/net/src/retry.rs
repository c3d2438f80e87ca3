use std::time::{Duration, Instant, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::error::Cause;

/// Longest wait between two tries, unless the server asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Waits from here on are said: the reader would take the program for stuck.
const NOTICEABLE: Duration = Duration::from_secs(15);

/// How often and for how long something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRule {
    /// Further tries.
    pub retries: u32,
    /// Wait before the second try, doubled each time, with up to as much again at random.
    pub first_wait: Duration,
    /// Longest time for all tries: none begins later.
    pub total: Duration,
}

/// A try that failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// Another try may succeed.
    Passing {
        /// Why it failed.
        cause: Cause,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
    /// Another try would fail as well.
    Final(E),
}

impl<E> Failure<E> {
    /// A failure that another try may mend.
    pub fn passing(cause: impl Into<Cause>) -> Self {
        Self::Passing { cause: cause.into(), wait: None }
    }
}

/// Why there is no result.
#[derive(Debug)]
pub enum Stopped<E> {
    /// An error that no further try mends.
    Final(E),
    /// Every try failed.
    GaveUp(GaveUp),
}

/// Tries that all failed.
#[derive(Debug)]
pub struct GaveUp {
    /// How many there were.
    pub tries: u32,
    /// Why the last failed.
    pub cause: Cause,
}

/// A wait that the rule does not allow.
#[derive(Debug, thiserror::Error)]
#[error("the server asks for a wait of {asked} s, which exceeds the limit of {limit} s for one request", asked = asked.as_secs(), limit = limit.as_secs())]
struct TooLong {
    asked: Duration,
    limit: Duration,
    source: Cause,
}

/// Tries by a rule until something succeeds or fails for good. `what` is tried, for messages.
pub async fn retried<T, E, F>(rule: &RetryRule, what: &str, mut once: impl FnMut() -> F) -> Result<T, Stopped<E>>
where
    F: Future<Output = Result<T, Failure<E>>>,
{
    let started = Instant::now();
    let mut tries = 0;
    let waits = ExponentialBuilder::new()
        .with_min_delay(rule.first_wait)
        .with_max_delay(LONGEST_WAIT)
        .with_max_times(rule.retries as usize)
        .with_jitter();
    let counted = || {
        tries += 1;
        once()
    };
    let result = counted
        .retry(waits)
        .when(|failure| matches!(failure, Failure::Passing { .. }))
        // No wait from `waits` means that all tries are used.
        .adjust(|failure, wait| {
            wait.map(|wait| asked(failure).unwrap_or(wait))
                .filter(|wait| started.elapsed().saturating_add(*wait) <= rule.total)
        })
        .notify(|failure, wait| notify(what, failure, wait))
        .await;
    result.map_err(|failure| match failure {
        Failure::Final(error) => Stopped::Final(error),
        Failure::Passing { cause, wait: Some(asked) } if tries <= rule.retries && asked > LONGEST_WAIT => {
            Stopped::GaveUp(GaveUp { tries, cause: TooLong { asked, limit: rule.total, source: cause }.into() })
        }
        Failure::Passing { cause, .. } => Stopped::GaveUp(GaveUp { tries, cause }),
    })
}

fn asked<E>(failure: &Failure<E>) -> Option<Duration> {
    match failure {
        Failure::Passing { wait, .. } => *wait,
        Failure::Final(_) => None,
    }
}

fn notify<E>(what: &str, failure: &Failure<E>, wait: Duration) {
    let Failure::Passing { cause, .. } = failure else { return };
    let seconds = wait.as_secs_f64();
    if wait >= NOTICEABLE {
        tracing::warn!("waiting {seconds:.0} s before asking `{what}` again: {cause}");
    } else {
        tracing::debug!(
            error = &**cause as &(dyn std::error::Error + 'static),
            "`{what}` failed; again in {seconds:.1} s"
        );
    }
}

/// How long an answer asks to wait: `Retry-After` in seconds or as a date, or `retry-after-ms`.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse::<f64>().ok();
    if let Some(milliseconds) = text("retry-after-ms").and_then(seconds) {
        return Duration::try_from_secs_f64(milliseconds / 1e3).ok();
    }
    let asked = text(RETRY_AFTER.as_str())?;
    match seconds(asked) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        // A date that has passed asks for no wait.
        None => {
            httpdate::parse_http_date(asked).ok().map(|date| date.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn rule(retries: u32) -> RetryRule {
        RetryRule { retries, first_wait: Duration::from_millis(1), total: Duration::from_secs(60) }
    }

    async fn failing(rule: &RetryRule, wait: Option<Duration>) -> (u32, String) {
        let once = async || Err::<(), Failure<()>>(Failure::Passing { cause: "busy".into(), wait });
        match retried(rule, "it", once).await {
            Err(Stopped::GaveUp(GaveUp { tries, cause })) => (tries, cause.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn tries_are_counted_and_bounded() {
        assert_eq!(failing(&rule(0), None).await, (1, "busy".to_owned()));
        assert_eq!(failing(&rule(3), None).await, (4, "busy".to_owned()));
        let calls = Cell::new(0);
        let third = async || {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { Err(Failure::<()>::passing("busy")) } else { Ok(calls.get()) }
        };
        assert!(matches!(retried(&rule(3), "it", third).await, Ok(3)));
    }

    #[tokio::test]
    async fn what_is_final_is_tried_once() {
        let calls = Cell::new(0);
        let once = async || {
            calls.set(calls.get() + 1);
            Err::<(), _>(Failure::Final("no"))
        };
        assert!(matches!(retried(&rule(3), "it", once).await, Err(Stopped::Final("no"))));
        assert_eq!(calls.get(), 1);
    }

    #[tokio::test]
    async fn a_wait_beyond_the_limit_is_not_waited_for() {
        let (tries, message) = failing(&rule(3), Some(Duration::from_secs(3600))).await;
        assert_eq!(tries, 1);
        assert_eq!(failing(&rule(3), Some(Duration::MAX)).await.0, 1);
        assert!(message.contains("3600 s") && message.contains("60 s"), "{message}");
        let over = RetryRule { total: Duration::ZERO, first_wait: Duration::from_secs(1), ..rule(3) };
        assert_eq!(failing(&over, None).await, (1, "busy".to_owned()), "no try begins after the limit");
    }

    #[tokio::test]
    async fn a_wait_that_is_asked_for_is_kept() {
        let started = Instant::now();
        failing(&rule(1), Some(Duration::from_millis(80))).await;
        assert!(started.elapsed() >= Duration::from_millis(80));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).expect("a header");
            retry_after(&HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
        };
        assert_eq!(asked("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(asked("retry-after", " 0.25 "), Some(Duration::from_millis(250)));
        assert_eq!(asked("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        for bad in ["soon", "-1", "NaN", "1e300", ""] {
            assert_eq!(asked("retry-after", bad), None, "{bad}");
        }
        assert_eq!(asked("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = SystemTime::now() + Duration::from_secs(100);
        let wait = asked("retry-after", &httpdate::fmt_http_date(later)).expect("a date");
        assert!((90..=100).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
