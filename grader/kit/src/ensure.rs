//! The two macros that a criterion's script is written with.

/// Ends the script with a [`Fail`](crate::Fail) unless the condition holds.
///
/// ```
/// # use grader_kit::{ensure, Outcome};
/// # fn demo(took: u64) -> Outcome {
/// ensure!(took == 400, "returned at {took} ms";
///     expected = "the third success, at 400 ms", observed = format!("{took} ms"),
///     help = "do not wait for the slower two");
/// # Ok(()) }
/// # assert!(demo(400).is_ok()); assert_eq!(demo(600).unwrap_err().headline, "returned at 600 ms");
/// ```
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $fmt:literal $(, $arg:expr)* $(; $($field:ident = $text:expr),* $(,)?)?) => {
        if !$cond {
            return Err($crate::Fail::new(format!($fmt $(, $arg)*))$($(.$field($text))*)?);
        }
    };
}

/// Ends the script with a [`Fail`](crate::Fail) that shows both values unless they are equal. Of long ones
/// it shows where they differ.
///
/// ```
/// # use grader_kit::{ensure_eq, Outcome};
/// # fn demo() -> Outcome {
/// ensure_eq!(1 + 1, 3, "a wrong sum"; help = "count again");
/// # Ok(()) }
/// # assert_eq!(demo().unwrap_err().observed.as_deref(), Some("2"));
/// ```
#[macro_export]
macro_rules! ensure_eq {
    ($observed:expr, $expected:expr, $fmt:literal $(, $arg:expr)* $(; $($field:ident = $text:expr),* $(,)?)?) => {
        match (&$observed, &$expected) {
            (observed, expected) => {
                if observed != expected {
                    let (expected, observed) =
                        $crate::difference(&format!("{expected:?}"), &format!("{observed:?}"));
                    return Err($crate::Fail::new(format!($fmt $(, $arg)*))
                        .expected(expected)
                        .observed(observed)
                        $($(.$field($text))*)?);
                }
            }
        }
    };
}
