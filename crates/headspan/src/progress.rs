//! Progress on stderr: a bar on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    ops::ControlFlow,
    sync::Mutex,
    time::{Duration, Instant},
};

use headspan_pipeline::{Meter, Progress, figures::duration};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress of the pipeline on stderr, or none.
pub(crate) struct Terminal {
    /// Only warnings and errors are wanted.
    pub(crate) quiet: bool,
}

impl Progress for Terminal {
    fn begin<'a>(&'a self, task: &str, unit: &'static str) -> Box<dyn Meter + 'a> {
        Box::new(Reporter::new(task, unit, self.quiet))
    }
}

impl Meter for Reporter {
    fn report(&self, done: u64, total: u64) -> ControlFlow<()> {
        Self::report(self, done, total);
        if crate::stop::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Progress of one piece of work. Made once per piece; shared by the threads that do it.
pub(crate) struct Reporter {
    label: String,
    unit: &'static str,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
    Silent,
}

struct Lines {
    started: Instant,
    next: Instant,
    remark: String,
}

impl Reporter {
    /// `unit` is a plural, such as `images`.
    pub(crate) fn new(label: &str, unit: &'static str, quiet: bool) -> Self {
        let display = if quiet {
            Display::Silent
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            // A template that does not parse is a bug that the first test on a terminal shows; the plain bar serves too.
            let template = "{prefix:>32} {bar:24} {human_pos}/{human_len} {msg} {per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar.set_prefix(label.to_owned());
            bar.set_message(unit);
            Display::Bar(bar)
        } else {
            let now = Instant::now();
            Display::Lines(Mutex::new(Lines { started: now, next: now + LINE_EVERY, remark: String::new() }))
        };
        Self { label: label.to_owned(), unit, display }
    }

    /// A figure to show beside the progress, such as the loss.
    pub(crate) fn remark(&self, text: &str) {
        match &self.display {
            Display::Silent => {}
            Display::Bar(bar) => bar.set_message(format!("{}, {text}", self.unit)),
            Display::Lines(lines) => {
                if let Ok(mut lines) = lines.lock() {
                    lines.remark = format!(", {text}");
                }
            }
        }
    }

    /// Says how far the work is.
    pub(crate) fn report(&self, done: u64, total: u64) {
        match &self.display {
            Display::Silent => {}
            Display::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Display::Lines(lines) => {
                let Ok(mut lines) = lines.lock() else { return };
                let now = Instant::now();
                if now < lines.next {
                    return;
                }
                lines.next = now + LINE_EVERY;
                let seconds = lines.started.elapsed().as_secs_f64();
                let rate = done as f64 / seconds;
                let left = if rate > 0.0 { (total.saturating_sub(done)) as f64 / rate } else { 0.0 };
                let (label, unit, left) = (&self.label, self.unit, duration(left));
                tracing::info!("{label}: {done} of {total} {unit}, {rate:.1}/s, {left} left{}", lines.remark);
            }
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}
