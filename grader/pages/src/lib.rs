//! What the programs with a page in a browser have in common.
//!
//! | module | what it has |
//! |---|---|
//! | `assets` | the files of a page, the routes that serve them, and what is wrong in them |
//! | `listen` | a listener, with errors that say what to do |
//! | `sessions` | the pages that are open, by number |

mod assets;
mod listen;
mod sessions;

pub use assets::{Asset, faults, files, protected};
pub use listen::{ListenError, listen};
pub use sessions::{Session, Sessions};
