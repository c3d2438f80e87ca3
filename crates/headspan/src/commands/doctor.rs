use std::path::Path;

use anyhow::Result;
use headspan_model::{available_devices, cuda_problem};
use headspan_pipeline::{cached_files, hub_settings};
use indicatif::DecimalBytes;
use sysinfo::System;

use crate::{commands::registry, console::Console};

/// Prints what headspan finds on this machine.
pub(crate) fn doctor(configs: &Path, console: &Console<'_>) -> Result<()> {
    let system = System::new_all();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = hub_settings();
    let mut lines = vec![
        format!("headspan   {}", env!("CARGO_PKG_VERSION")),
        format!("system     {} {}", std::env::consts::OS, std::env::consts::ARCH),
        format!("cores      {cores}"),
        format!(
            "memory     {} of {} free",
            DecimalBytes(system.available_memory()),
            DecimalBytes(system.total_memory())
        ),
        format!("hub        {}", settings.endpoint),
        format!("cache      {}", settings.cache.display()),
    ];
    for device in available_devices() {
        lines.push(format!("device     {} ({})", device.kind, device.name));
    }
    if let Some(problem) = cuda_problem() {
        lines.push(format!("no cuda    {problem}"));
    }
    let registry = registry(configs)?;
    let fetched: Vec<&str> =
        registry.models().iter().filter(|model| cached_files(model).is_ok()).map(|model| model.id.as_str()).collect();
    lines.push(format!("models     {} known, {} fetched", registry.models().len(), fetched.len()));
    lines.extend(fetched.iter().map(|id| format!("model      {id}")));
    console.print(&lines.join("\n"))
}
