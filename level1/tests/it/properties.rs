//! Properties over random input. A failure prints its seed, and proptest keeps it beside this file.

use futures::{FutureExt, StreamExt, stream};
use level1::source::SourceError;
use level1::transport::read_text;
use proptest::prelude::*;

fn read(body: &[u8], cuts: &[prop::sample::Index], limit: usize) -> Result<String, SourceError> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    let chunks: Vec<_> = cuts.windows(2).map(|cut| Ok(body[cut[0]..cut[1]].to_vec())).collect();
    read_text(stream::iter(chunks).boxed(), limit).now_or_never().unwrap()
}

proptest! {
    /// However the network cuts a text, it arrives whole, and a limit of its length suffices.
    #[test]
    fn text_survives_every_cut(text in ".*", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        prop_assert_eq!(read(text.as_bytes(), &cuts, text.len()), Ok(text));
    }

    /// One byte less than the length is always too little.
    #[test]
    fn the_limit_holds(body in prop::collection::vec(any::<u8>(), 1..64), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let limit = body.len() - 1;
        prop_assert_eq!(read(&body, &cuts, limit), Err(SourceError::TooLarge { limit }));
    }

    /// Bytes are accepted exactly when they are UTF-8.
    #[test]
    fn only_utf8(body in prop::collection::vec(any::<u8>(), 0..32), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let text = read(&body, &cuts, body.len());
        prop_assert_eq!(text.ok(), String::from_utf8(body).ok());
    }
}
