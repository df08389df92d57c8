//! The fault sweep.

use crate::catalog::{Criterion, Group, Kind};

/// Every fault at every call.
pub(super) const GROUP: Group = Group {
    name: "sweep",
    title: "Every fault at every call",
    file: "level3/src/gateway/mod.rs",
    trial: true,
    criteria: CRITERIA,
};

const CRITERIA: &[Criterion] = &[
    Criterion {
        id: "level3/sweep/create",
        title: "any fault of create",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at creating the intent, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "A create without an answer may have made an intent: repeat it with its key to learn which, and cancel it.",
        ],
        read: &["level3/README.md, Sweep"],
    },
    Criterion {
        id: "level3/sweep/fraud",
        title: "any fault of the fraud check",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at the fraud check, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "No verdict is no permission.",
        ],
        read: &["level3/README.md, Sweep"],
    },
    Criterion {
        id: "level3/sweep/confirm",
        title: "any fault of confirm",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at confirming, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "Only `succeeded` is paid.",
        ],
        read: &["level3/README.md, Sweep"],
    },
    Criterion {
        id: "level3/sweep/save",
        title: "any fault of save",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at writing the row, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "A save without an answer may have written the row.",
        ],
        read: &["level3/README.md, Sweep"],
    },
    Criterion {
        id: "level3/sweep/receipt",
        title: "any fault of the receipt",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at sending the receipt and noting that it was sent, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "The same transaction for every attempt.",
        ],
        read: &["level3/README.md, Sweep"],
    },
    Criterion {
        id: "level3/sweep/cancel",
        title: "any fault of cancel",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at cancelling, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "After a stored 500 ask what is the case, and go on with the next key.",
        ],
        read: &["level3/README.md, Sweep"],
    },
    Criterion {
        id: "level3/sweep/refund",
        title: "any fault of refund",
        points: 3,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at refunding, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "After a stored 500 ask what is the case, and go on with the next key.",
        ],
        read: &["level3/README.md, Sweep"],
    },
    Criterion {
        id: "level3/sweep/void",
        title: "any fault of void and find",
        points: 2,
        kind: Kind::Bonus,
        requirement: "Every kind of fault at taking the row back and at finding an intent, once and always, alone and together with every other fault of an earlier or the same call: the books balance, the answer is true and in time, nothing is called after the end, and one receipt goes out at most.",
        hints: &[
            "Run the case from the message: it prints the timeline.",
            "An undo that fails is an error of the undo.",
        ],
        read: &["level3/README.md, Sweep"],
    },
];
