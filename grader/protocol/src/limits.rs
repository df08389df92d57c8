//! What a check process may use. The process sets these limits on itself; the grader names them when
//! it says why the process ended.

/// Address space, in MiB. A check needs a few; the paused runtime reserves little.
pub const MEMORY_MIB: u64 = 1024;

/// CPU seconds after which the kernel ends the process. The grader stops it long before; this is for
/// the case that the grader cannot look (no `/proc`) or is gone.
pub const CPU_SECONDS: u64 = 20;
