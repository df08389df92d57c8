//! The message of a panic.

use std::any::Any;

/// Returns the message of a panic, from the payload of `catch_unwind` or of a `JoinError`. For a payload
/// that is not a text it returns a placeholder.
///
/// Pass the content of the box, not the box: a `&Box<dyn Any + Send>` is itself an `Any`, and is no text.
///
/// ```
/// use std::panic::catch_unwind;
///
/// let payload = catch_unwind(|| panic!("a bug")).unwrap_err();
/// assert_eq!(level1::panics::message(&*payload), "a bug");
/// ```
pub fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
