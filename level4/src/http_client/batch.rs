//! How requests become batches.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::key::host;
use super::message::{HttpError, Request};

/// A request with its place in the list.
pub(super) type Placed = (usize, Request);

/// Divides requests into batches of one host and at most `size` requests each. Hosts come in the order of their first
/// request, and requests of a host keep their order. The second list holds the requests whose URL has no host.
pub(super) fn batches(
    requests: impl Iterator<Item = Request>,
    size: NonZeroUsize,
) -> (Vec<Vec<Placed>>, Vec<(usize, HttpError)>) {
    // The map finds a host's group, the vector keeps the order of the groups: an order of the map would differ from
    // run to run.
    let mut hosts: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<Placed>> = Vec::new();
    let mut refused = Vec::new();
    for (place, request) in requests.enumerate() {
        match host(&request.url) {
            Ok(host) => {
                let group = *hosts.entry(host).or_insert(groups.len());
                if group == groups.len() {
                    groups.push(Vec::new());
                }
                groups[group].push((place, request));
            }
            Err(error) => refused.push((place, error)),
        }
    }
    let cut = |mut group: Vec<Placed>| {
        let mut batches = Vec::new();
        // Cuts from the front, so that the requests keep their order. `split_off` leaves the front in `group` and
        // moves the rest.
        while group.len() > size.get() {
            let rest = group.split_off(size.get());
            batches.push(std::mem::replace(&mut group, rest));
        }
        batches.push(group);
        batches
    };
    (groups.into_iter().flat_map(cut).collect(), refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_of_one_host() {
        let urls = ["http://a/1", "http://b/1", "http://a/2", "/x", "http://A/3"];
        let (batches, refused) =
            batches(urls.into_iter().map(Request::get), NonZeroUsize::new(2).expect("not 0"));
        let places: Vec<Vec<_>> =
            batches.iter().map(|batch| batch.iter().map(|(place, _)| *place).collect()).collect();
        assert_eq!(places, [vec![0, 2], vec![4], vec![1]]);
        assert_eq!(refused, [(3, HttpError::BadUrl("/x".to_owned()))]);
    }
}
