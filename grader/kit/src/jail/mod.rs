//! The jail: after it closes, the judged thread can compute, wait and talk on open descriptors.
use grader_protocol::Jail;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux;

/// Closes the jail around the calling thread, for good.
///
/// # Errors
///
/// When the platform has a jail and the kernel refuses it (a container that forbids seccomp).
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn close() -> Result<Jail, String> {
    linux::close().map(|()| Jail::Syscalls).map_err(|e| e.to_string())
}

/// Elsewhere there is none; the report says so.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn close() -> Result<Jail, String> {
    Ok(Jail::None)
}
