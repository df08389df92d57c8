//! Classes and their waits.

use std::num::NonZeroU32;
use std::time::Duration;

use grader_kit::{Cx, Outcome, ensure, ensure_eq, list, ms};
use level4::recovery::{Class, ConfigError, Waits};

use super::fakes::{Broken, Calls, Ends};
use super::{ON_CLASS, RUN, attempts, constant, on_class, recovery, run};

const CLASSES: [Class; 5] =
    [Class::Network, Class::RateLimit, Class::Server, Class::Other("disk"), Class::Other("tape")];

pub async fn waits_by_the_class(cx: Cx) -> Outcome {
    const HELP: &str = "look the class of each error up in the map that `on_class` fills; the number of the failed attempt says which wait it is";
    let mut draw = cx.draw();
    let wait = draw.between(2..=900);
    for class in CLASSES {
        for (wait, length) in [(1, 0), (wait, 0), (5, 10)] {
            let mut recovery = recovery(&cx).await?;
            on_class(&cx, &mut recovery, class, constant(wait)).await?;
            let calls = Calls::new();
            let ends = [Ends::Badly(Broken::new(class, 1))];
            let _ = cx.call(RUN, run(&recovery, &calls, "a", 3, length, &ends)).await?;
            let step = wait + length;
            ensure_eq!(list(calls.times("a")), list([0, step, 2 * step]), "a constant wait of {wait} ms for {class:?}, and attempts of {length} ms that fail: the times of the calls"; help = HELP);
        }
    }
    // Each class has waits of its own, and each error counts with its own class.
    let mut recovery = recovery(&cx).await?;
    let first = [7, 11, 13, 17, 19].map(|first| first + draw.below(2));
    for (class, first) in CLASSES.into_iter().zip(first) {
        // The earlier ones are replaced.
        on_class(&cx, &mut recovery, class, constant(5000)).await?;
        let waits = Waits { first: ms(first), factor: attempts(10), longest: ms(1_000_000) };
        on_class(&cx, &mut recovery, class, waits).await?;
    }
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 2, 4, 2, 3]] {
        let ends = order.map(|class| Ends::Badly(Broken::new(CLASSES[class], 0)));
        let calls = Calls::new();
        let _ = cx.call(RUN, run(&recovery, &calls, "a", 5, 0, &ends)).await?;
        let (mut at, mut expected) = (0, vec![0]);
        for (power, class) in (0..4).zip(order) {
            at += first[class] * 10_u64.pow(power);
            expected.push(at);
        }
        let names = order.map(|class| format!("{:?}", CLASSES[class]));
        let shown = first.map(|first| first.to_string());
        ensure_eq!(list(calls.times("a")), list(expected), "first waits of {} ms, each ten times as long as the one before, for {}; attempts fail as {}: the times of the calls", list(shown), list(CLASSES.map(|class| format!("{class:?}"))), list(names); help = HELP);
    }
    Ok(())
}

pub async fn knows_the_usual_waits(cx: Cx) -> Outcome {
    let (limited, rest) = ([3, 9, 27, 30, 30, 30, 30], [1, 2, 4, 8, 16, 30, 30]);
    for class in CLASSES {
        let expected = if class == Class::RateLimit { limited } else { rest };
        let recovery = recovery(&cx).await?;
        let calls = Calls::new();
        let ends = [Ends::Badly(Broken::new(class, 1))];
        let _ = cx.call(RUN, run(&recovery, &calls, "a", 8, 0, &ends)).await?;
        let times = calls.times("a");
        let waits = times.windows(2).map(|pair| pair[1] - pair[0]);
        ensure_eq!(list(waits), list(expected.map(|seconds| seconds * 1000)), "the waits in ms after errors of {class:?}, with no waits set";
            help = "3 s and three times as long for RateLimit, 1 s and twice as long for the rest, and never more than 30 s");
    }
    Ok(())
}

pub async fn no_wait_is_longer_than_the_longest(cx: Cx) -> Outcome {
    const HELP: &str = "a power of 32 bits overflows too early: calculate in `u128` nanoseconds, with `saturating_pow` and `saturating_mul`, and take the `min`";
    let after = |waits: Waits, attempt| cx.call_fn("Waits::after", move || waits.after(attempt));
    let waits = |first, factor, longest| Waits { first, factor: attempts(factor), longest };
    let second = Duration::from_secs(1);
    let longest = ms(cx.draw().between(1000..=100_000));
    for (waits, attempt, expected) in [
        (waits(second, 2, longest), 0, second),
        (waits(second, 2, longest), 1, second),
        (waits(second, 2, 10 * second), 4, 8 * second),
        (waits(second, 2, 10 * second), 5, 10 * second),
        (waits(second, 2, longest), 33, longest),
        (waits(second, 2, longest), 65, longest),
        (waits(second, 2, longest), u32::MAX, longest),
        (waits(second, 1, longest), u32::MAX, second),
        (waits(second, u32::MAX, longest), 3, longest),
        (waits(second, u32::MAX, longest), u32::MAX, longest),
        (waits(second, 3, second), 2, second),
        (waits(ms(1), 10, Duration::MAX), 4, second),
        (waits(Duration::MAX, 1, Duration::MAX), 7, Duration::MAX),
        (waits(Duration::MAX, 2, Duration::MAX), 2, Duration::MAX),
        (waits(Duration::from_nanos(1), 7, second), 3, Duration::from_nanos(49)),
        // A power of more than 32 bits.
        (waits(Duration::from_nanos(1), 2, 3600 * second), 41, Duration::from_nanos(1 << 40)),
    ] {
        let observed = after(waits, attempt).await?;
        ensure!(observed == expected, "the wait after attempt {attempt} of {waits:?}"; expected = format!("{expected:?}"), observed = format!("{observed:?}"), help = HELP);
    }
    // Waits that were set have their bound in a run too, also behind many attempts.
    let mut recovery = recovery(&cx).await?;
    for class in CLASSES {
        on_class(&cx, &mut recovery, class, waits(ms(1), 2, ms(20))).await?;
        let calls = Calls::new();
        let ends = [Ends::Badly(Broken::new(class, 1))];
        let _ = cx.call(RUN, run(&recovery, &calls, "a", 100, 0, &ends)).await?;
        let times = calls.times("a");
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        ensure!(longest == Some(20), "waits of 1 ms, twice as long each time, up to 20 ms, after errors of {class:?}: the longest of 99"; expected = "Some(20)", observed = format!("{longest:?}"), help = HELP);
    }
    Ok(())
}

pub async fn statuses_have_classes(cx: Cx) -> Outcome {
    // One call for all: a call of its own for each status takes a second.
    let all = || (0..=u16::MAX).map(Class::of_status).collect::<Vec<_>>();
    let classes = cx.call_fn("Class::of_status", all).await?;
    for (status, class) in (0..=u16::MAX).zip(classes) {
        let expected = match status {
            429 => Class::RateLimit,
            400..=499 => Class::Client,
            500..=599 => Class::Server,
            _ => Class::Other("status"),
        };
        ensure_eq!(class, expected, "the class of the status {status}");
    }
    for class in CLASSES {
        let retryable = cx.call_fn("Class::is_retryable", || class.is_retryable()).await?;
        ensure!(retryable, "{class:?} is not retryable"; expected = "it is");
    }
    for class in [Class::Client, Class::Bug] {
        let retryable = cx.call_fn("Class::is_retryable", || class.is_retryable()).await?;
        ensure!(!retryable, "{class:?} is retryable"; expected = "it is not: another attempt would fail as well");
    }
    Ok(())
}

pub async fn refuses_bad_waits(cx: Cx) -> Outcome {
    let factor = NonZeroU32::MIN;
    let mut recovery = recovery(&cx).await?;
    for class in [Class::Network, Class::RateLimit, Class::Other("disk"), Class::Client] {
        on_class(&cx, &mut recovery, class, constant(3)).await?;
        for longest in [Duration::ZERO, ms(100), Duration::MAX] {
            let waits = Waits { first: Duration::ZERO, factor, longest };
            let refused = cx.call_fn(ON_CLASS, || recovery.on_class(class, waits)).await?;
            ensure!(refused == Err(ConfigError::ZeroWait), "a first wait of zero for {class:?}: {refused:?}"; expected = "ZeroWait");
        }
        for (first, longest) in
            [(ms(100), ms(99)), (Duration::from_nanos(1), Duration::ZERO), (Duration::MAX, ms(1))]
        {
            let waits = Waits { first, factor, longest };
            let refused = cx.call_fn(ON_CLASS, || recovery.on_class(class, waits)).await?;
            let expected = Err(ConfigError::LongestBelowFirst { first, longest });
            ensure!(refused == expected, "waits from {first:?} to {longest:?} for {class:?}: {refused:?}"; expected = "LongestBelowFirst, with both");
        }
        // What was set before has stayed.
        let calls = Calls::new();
        let error = Broken { class, number: 1, retryable: Some(true) };
        let _ = cx.call(RUN, run(&recovery, &calls, "a", 3, 0, &[Ends::Badly(error)])).await?;
        ensure_eq!(list(calls.times("a")), list([0, 3, 6]), "a wait of 3 ms for {class:?}, and others that were refused: the times of the calls"; help = "check before you insert");
        let nano = Duration::from_nanos(1);
        for (first, longest) in [(nano, nano), (ms(5), ms(5)), (Duration::MAX, Duration::MAX)] {
            let waits = Waits { first, factor: NonZeroU32::MAX, longest };
            on_class(&cx, &mut recovery, class, waits).await?;
        }
    }
    Ok(())
}
