//! What a program is confined by from its first instruction on, set between fork and exec.
#![allow(
    unsafe_code,
    reason = "what happens between fork and exec has no safe wrapper; this is the one place"
)]

use std::mem::MaybeUninit;

use rustix::{
    fd::BorrowedFd,
    fs::{CWD, Mode, OFlags, RawDir},
    io::FdFlags,
    process::{Resource, Rlimit, Signal},
};
use tokio::process::Command;

const OPEN_FILES: u64 = 65_536;

/// A session of its own, an end with this process, limits, and nothing that this process has open.
pub(super) fn contain(command: &mut Command) {
    let parent = rustix::process::getpid();
    let limit = |number| Rlimit {
        current: Some(number),
        maximum: Some(number),
    };
    let prepare = move || {
        rustix::process::setsid()?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the worker died before the line above, nothing would ever end this program.
        if rustix::process::getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        close_all_at_exec()?;
        rustix::process::setrlimit(Resource::Core, limit(0))?;
        let allowed = rustix::process::getrlimit(Resource::Nofile)
            .maximum
            .unwrap_or(OPEN_FILES);
        rustix::process::setrlimit(Resource::Nofile, limit(allowed.min(OPEN_FILES)))?;
        Ok(())
    };
    // SAFETY: the closure makes plain system calls: it takes no lock and allocates nothing, so it may run in a forked child of a threaded process.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Keeps what the worker has open from the program, also what somebody opened without saying so; standard input, output and error stay.
fn close_all_at_exec() -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, c"/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        // The others are `.` and `..`.
        let number = entry.file_name().to_str().ok();
        let Some(number) = number.and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if number > 2 {
            // SAFETY: it was open a moment ago, and this process has no other thread that could have closed it.
            let open = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(open, FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}
