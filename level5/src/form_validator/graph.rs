//! The order in which each field stands after those that it reads, or the cycle that makes an order impossible.

use std::collections::{BTreeMap, BTreeSet};

use super::FieldId;

/// For each field the fields that its rules read.
pub(super) type Reads = BTreeMap<FieldId, BTreeSet<FieldId>>;

/// How far the search is with a field. A field without a mark was not met yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// On the path: the search is still among the fields that it reads.
    Open,
    /// In the order.
    Done,
}

/// Returns all fields, each after those that it reads.
///
/// A depth-first search. The path is a vector and not the call stack, so that a long chain of fields does not overflow.
///
/// # Errors
///
/// A cycle: each of its fields reads the next one, and the last one reads the first.
pub(super) fn reads_first(reads: &Reads) -> Result<Vec<FieldId>, Vec<FieldId>> {
    let (mut marks, mut order) = (BTreeMap::new(), Vec::new());
    // From every field: a search from one field meets only those that it reads, directly or not.
    for (&start, first) in reads {
        if marks.contains_key(&start) {
            continue;
        }
        marks.insert(start, Mark::Open);
        let mut path = vec![(start, first.iter())];
        while let Some((field, rest)) = path.last_mut() {
            let Some(&read) = rest.next() else {
                // All that the field reads is in the order, so it may follow.
                marks.insert(*field, Mark::Done);
                order.push(*field);
                path.pop();
                continue;
            };
            match marks.get(&read) {
                // Met by another way before, which is no cycle.
                Some(Mark::Done) => {}
                // The field is on the path, so the path from there to its end leads back to it. The fields before it
                // only lead to the cycle and are left out.
                Some(Mark::Open) => {
                    let on_path = path.iter().map(|(field, _)| *field);
                    return Err(on_path.skip_while(|field| *field != read).collect());
                }
                None => {
                    marks.insert(read, Mark::Open);
                    path.push((read, reads.get(&read).map(BTreeSet::iter).unwrap_or_default()));
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: FieldId = FieldId::new("a");
    const B: FieldId = FieldId::new("b");
    const C: FieldId = FieldId::new("c");

    fn reads(pairs: &[(FieldId, &[FieldId])]) -> Reads {
        pairs.iter().map(|(field, read)| (*field, read.iter().copied().collect())).collect()
    }

    #[test]
    fn a_field_stands_after_those_that_it_reads() {
        let chain = reads(&[(A, &[B]), (B, &[C]), (C, &[])]);
        assert_eq!(reads_first(&chain), Ok(vec![C, B, A]));
        let diamond = reads(&[(A, &[]), (B, &[A]), (C, &[A, B])]);
        assert_eq!(reads_first(&diamond), Ok(vec![A, B, C]));
    }

    #[test]
    fn a_cycle_is_named_without_what_leads_to_it() {
        let tail = reads(&[(A, &[B]), (B, &[C]), (C, &[B])]);
        assert_eq!(reads_first(&tail), Err(vec![B, C]));
        assert_eq!(reads_first(&reads(&[(A, &[A])])), Err(vec![A]));
    }
}
