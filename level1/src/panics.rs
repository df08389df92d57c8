//! What a panic said.

use std::any::Any;

/// The text of a panic, from what `catch_unwind` or a `JoinError` holds. A payload that is no text
/// gives a stand-in.
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
