//! The clients over HTTP against real sockets: mocked answers, broken connections, an emulator of Stripe,
//! and Stripe's test mode where a key is set. No clock is paused here, and no test waits for a margin.

mod bad_wire;
mod outbox;
mod peer;
mod reconcile;
mod reconcile_shop;
#[path = "../../../tests/support/request.rs"]
mod request;
mod sendgrid;
mod stripe_answers;
mod stripe_faults;
mod stripe_find;
mod stripe_gateway;
mod stripe_refunds;
#[path = "../support/stripe_world.rs"]
mod stripe_world;
mod support;
mod webhooks;
