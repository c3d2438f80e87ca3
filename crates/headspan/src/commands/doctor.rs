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
    for model in registry(configs)?.models() {
        let state = if cached_files(model).is_ok() { "fetched" } else { "not fetched" };
        lines.push(format!("model      {} {state}", model.id));
    }
    console.print(&lines.join("\n"))
}
