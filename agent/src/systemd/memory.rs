//! Memory of a process where systemd does not account it: without the memory controller, or with accounting switched off.

use nix::unistd::{SysconfVar, sysconf};

/// Resident memory of a process in bytes. Nothing when there is no such process, or this machine hides it from others.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let pages = second_number(&std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?)?;
    let page_size = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    pages.checked_mul(page_size)
}

/// Memory of a control group in bytes, page cache included: what systemd calls `MemoryCurrent`, read where it reads it. Nothing without
/// the memory controller.
pub(super) fn of_group(path: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.current")).ok()?.trim().parse().ok()
}

/// `statm` counts pages: size, resident, shared, …
fn second_number(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_no_process_has_none() {
        assert!(resident(std::process::id()).unwrap() > 100_000);
        assert_eq!(resident(0), None);
        assert_eq!(second_number("1204 310 200 1 0 90 0"), Some(310));
        assert_eq!(second_number("1204"), None);
        assert_eq!(of_group("/there/is/no/such/group"), None);
    }
}
