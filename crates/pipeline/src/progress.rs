use std::ops::ControlFlow;

/// Receives the progress of stages. The command line draws bars, a notebook may, and [`Silent`] does neither.
pub trait Progress: Sync {
    /// A task begins: what it is (`ViT-B-32_openai images`), and what is counted (`images`). The meter ends with its drop.
    fn begin<'a>(&'a self, task: &str, unit: &'static str) -> Box<dyn Meter + 'a>;
}

/// The progress of one task.
pub trait Meter: Sync {
    /// So much of so much is done. `Break` asks the work to stop: what is committed stays, and the same call continues it later.
    fn report(&self, done: u64, total: u64) -> ControlFlow<()>;
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin<'a>(&'a self, _task: &str, _unit: &'static str) -> Box<dyn Meter + 'a> {
        Box::new(Self)
    }
}

impl Meter for Silent {
    fn report(&self, _done: u64, _total: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
