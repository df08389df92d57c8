//! Level 4 at work in a browser: one page with four panels, each on its modules.
//!
//! ```text
//!   browser ◀── events: PageState ──── server ◀── page ◀── panels ──── level 4 ────▶ level4-http, level4-ws
//!           ─── commands ────────────▶                                                │ TCP on loopback
//!                                                          source, a simulated shop ◀─┘
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`source`] | a simulated shop: services with drawn delays and faults, and a web socket with live updates |
//! | [`services`] | the shop's services as level 4's traits ask for them |
//! | [`panels`] | the four panels: overview, live orders, search, history |
//! | [`page`] | one typed snapshot of all panels, and the commands of a page |
//! | [`server`] | files, events and commands over HTTP |
//!
//! No task of this package drives a panel. An open page is a stream of snapshots, and its polls drive the loads,
//! requests and waits of its panels. When the browser closes the page, the stream is dropped, and all of them with it.

pub mod args;
pub mod assets;
pub mod page;
pub mod panels;
pub mod server;
pub mod services;
pub mod shop;
pub mod source;
