//! The criteria of `level2/src/race.rs`.

use crate::catalog::{Criterion, Group, Kind};

/// The first three, then the rest.
pub(super) const GROUP: Group = Group {
    name: "race",
    title: "The first three, then the rest",
    file: "level2/src/race.rs",
    trial: false,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level2/race/returns-at-the-third",
        title: "returns at the third success",
        points: 3,
        kind: Kind::Core,
        requirement: "Reviews (200 ms), users (300 ms) and orders (400 ms) are the first three: \
                      the load returns at 400 ms, and `took` states it. (Assignment, level 2, \
                      pass criterion 3. The assignment's own race.js waits for all five.)",
        hints: &[
            "The other two are handed over, not waited for.",
            "Take outcomes from a `FuturesUnordered` until three have succeeded, then return.",
        ],
        read: &[
            "level2/README.md, Race",
            "https://docs.rs/futures/latest/futures/stream/struct.FuturesUnordered.html",
        ],
    },
    Criterion {
        id: "level2/race/hands-over-the-first-three",
        title: "hands over the three in order of arrival",
        points: 1,
        kind: Kind::Core,
        requirement: "`arrived` holds the data of the first three sections in the order in which \
                      they arrived.",
        hints: &["Push each success when it comes; do not sort."],
        read: &["level2/README.md, Race"],
    },
    Criterion {
        id: "level2/race/a-failure-is-no-success",
        title: "does not count a failure",
        points: 3,
        kind: Kind::Core,
        requirement: "A failed source is not one of the three: the next success takes its place. \
                      (The assignment's race.js counts whatever ends.)",
        hints: &[
            "Which condition ends your loop: calls that ended, or sections that arrived?",
            "Keep successes and failures in two lists and test the length of the first.",
        ],
        read: &["level2/README.md, Race"],
    },
    Criterion {
        id: "level2/race/lists-early-failures",
        title: "lists what failed before the return",
        points: 1,
        kind: Kind::Core,
        requirement: "`failed` holds the failures that happened before the third success, in the \
                      order of time.",
        hints: &["A caller that knows what failed can show it instead of a spinner."],
        read: &["level2/README.md, Race"],
    },
    Criterion {
        id: "level2/race/hands-over-the-rest",
        title: "hands over the other two as they come",
        points: 3,
        kind: Kind::Core,
        requirement: "`rest` yields sales at 500 ms and low stock at 600 ms, each when it is \
                      there, and then ends. Every section is asked for once and delivered once.",
        hints: &[
            "The calls that are still running must be the ones that you hand over.",
            "A `FuturesUnordered` is itself a stream: after three items it still holds the other \
             two, and `Rest::new` takes it.",
        ],
        read: &[
            "level2/README.md, Race",
            "level2/src/rest.rs",
            "https://docs.rs/futures/latest/futures/stream/struct.FuturesUnordered.html",
        ],
    },
    Criterion {
        id: "level2/race/the-rest-carries-failures",
        title: "tells of failures after the return",
        points: 1,
        kind: Kind::Core,
        requirement: "A section that fails after the return appears in `rest` as an error.",
        hints: &["The items of `rest` are results."],
        read: &["level2/src/rest.rs"],
    },
    Criterion {
        id: "level2/race/a-dropped-rest-stops",
        title: "stops the rest when it is dropped",
        points: 2,
        kind: Kind::Core,
        requirement: "Dropping `rest` stops the calls that it was still waiting for.",
        hints: &[
            "A stream that owns its futures drops them. A channel's receiver does not stop the \
             task that sends.",
            "With tasks: keep the `JoinSet` inside the stream.",
        ],
        read: &["level2/README.md, Cancellation", "level2/src/rest.rs"],
    },
    Criterion {
        id: "level2/race/too-few-at-once",
        title: "gives up as soon as three are out of reach",
        points: 2,
        kind: Kind::Core,
        requirement: "At the third failure only two sections can still arrive: the load returns \
                      the error then, not later.",
        hints: &[
            "What is the largest number of sections that can still come together?",
            "Arrived and still running together: when that falls below three, return.",
        ],
        read: &["level2/README.md, Race"],
    },
    Criterion {
        id: "level2/race/too-few-tells-all",
        title: "tells what arrived and what failed",
        points: 2,
        kind: Kind::Core,
        requirement: "The error carries the sections that did arrive and all failures with their \
                      causes, each in the order of time.",
        hints: &["`TooFew` has the same two lists as `FirstThree`."],
        read: &["level2/README.md, Race"],
    },
    Criterion {
        id: "level2/race/leaves-nothing-behind",
        title: "leaves nothing behind",
        points: 2,
        kind: Kind::Core,
        requirement: "Neither a load that is dropped nor one that has given up leaves a call or \
                      a task.",
        hints: &["Both ways out must drop the calls that are still running."],
        read: &["level2/README.md, Cancellation"],
    },
];
