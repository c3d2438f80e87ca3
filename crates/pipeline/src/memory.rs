//! How much memory this process may still take.

use std::path::Path;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::error::{PipelineError, Result};

/// Refuses weights that do not fit into the memory that is free: the system would end the process in the middle, without a word.
pub(crate) fn check(weights: &Path, needed: u64) -> Result<()> {
    let free = free();
    if needed > free {
        return Err(PipelineError::NoRoom { weights: weights.to_owned(), needed, free });
    }
    Ok(())
}

/// Bytes that are free: of the machine, of the control group that the process is in (a container, a job of a cluster), and of the
/// address space that the shell allows (`ulimit -v`), whichever is least.
fn free() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    // Cached files count as used there, and give way when memory is wanted.
    let group = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    [Some(system.available_memory()), group, address_space()].into_iter().flatten().min().unwrap_or(u64::MAX)
}

/// Bytes of address space that are left, if they are limited. Only Linux says so in a file.
fn address_space() -> Option<u64> {
    let limits = fs_err::read_to_string("/proc/self/limits").ok()?;
    let used = fs_err::read_to_string("/proc/self/status").ok()?;
    left(&limits, &used)
}

fn left(limits: &str, status: &str) -> Option<u64> {
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = limit.split_whitespace().next()?.parse().ok()?;
    let used = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let used: u64 = used.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(used << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_free() {
        assert!(free() > 1 << 20);
    }

    #[test]
    fn the_address_space_that_is_left_is_the_limit_less_what_is_used() {
        let status = "Name:\theadspan\nVmPeak:\t  900 kB\nVmSize:\t     512 kB\n";
        let limited = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max address space         1048576              unlimited            bytes     \n";
        assert_eq!(left(limited, status), Some(524_288));
        assert_eq!(left(&limited.replace("1048576 ", "unlimited"), status), None);
        assert_eq!(left("", status), None);
    }
}
