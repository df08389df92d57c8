//! The types and traits that the gateway, its services and its tests share. No exercise is in here.
//!
//! | module | what it has |
//! |---|---|
//! | [`money`] | amounts in minor units, currencies |
//! | [`ids`] | names of payments, orders, intents; secrets that no `Debug` shows |
//! | [`payment`] | a checked payment, and why a request is refused |
//! | [`journal`] | the records of a saga, which survive a crash |
//! | [`provider`] | the services as traits, their requests, answers and errors |
//! | [`refund`] | refunds that a merchant asks for |
//! | [`answer`] | the answer that a client gets about its payment |
//! | [`event`] | the events that a gateway sends to its observer |
//!
//! [`journal`] is about sagas of any kind and imports none of the others.

pub mod answer;
pub mod event;
pub mod ids;
pub mod journal;
pub mod money;
pub mod payment;
pub mod provider;
pub mod refund;

/// A number that is not zero, checked when the program is compiled: `nonzero!(100)`. Its type is
/// inferred from the context.
#[macro_export]
macro_rules! nonzero {
    ($number:expr) => {
        const {
            match ::core::num::NonZero::new($number) {
                Some(number) => number,
                None => panic!("the number is zero"),
            }
        }
    };
}

/// Makes cargo compile this package again when the grader reports changed sources, whatever their
/// modification times.
const _: Option<&str> = option_env!("COURSE_SOURCES_LEVEL3_DOMAIN");
