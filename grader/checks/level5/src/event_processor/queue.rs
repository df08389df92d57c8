//! The queue alone.

use grader_kit::{Cx, Draw, Outcome, ensure, ensure_eq, ms};
use level5::priority_queue::{Priority, PriorityQueue};
use tokio::time::{Duration, Instant};

type Queue = PriorityQueue<(Priority, usize)>;

const POP: &str = "PriorityQueue::pop";
const AGE: Duration = Duration::from_secs(30);

fn filled(priorities: &[Priority], count: usize, now: Instant) -> Queue {
    let mut queue = PriorityQueue::new(AGE);
    for number in 0..count {
        for &priority in priorities {
            queue.push((priority, number), priority, now);
        }
    }
    queue
}

fn counts(items: &[(Priority, usize)]) -> [usize; 4] {
    Priority::ALL.map(|priority| items.iter().filter(|(it, _)| *it == priority).count())
}

pub async fn queue_keeps_order(cx: Cx) -> Outcome {
    let mut draw = cx.draw();
    cx.call_fn(POP, || {
        for age in [AGE, ms(0), Duration::MAX] {
            let (mut queue, mut now) = (PriorityQueue::new(age), Instant::now());
            let mut model = Priority::ALL.map(|_| std::collections::VecDeque::new());
            for number in 0..3000_usize {
                now += ms(draw.below(900));
                if draw.chance(60) {
                    let priority = *draw.pick(&Priority::ALL);
                    queue.push((priority, number), priority, now);
                    model[priority as usize].push_back((now, number));
                } else {
                    let got = queue.pop(now);
                    let waits = model.iter().any(|lane| !lane.is_empty());
                    ensure!(got.is_some() == waits, "pop returns {got:?}, and {} items wait", model.iter().map(std::collections::VecDeque::len).sum::<usize>(); expected = "an item if there is one");
                    if let Some((priority, number)) = got {
                        let first = model[priority as usize].pop_front().map(|(_, number)| number);
                        ensure!(first == Some(number), "pop returns item {number} of priority {priority:?}, whose first one is {first:?}"; expected = "items of one priority in the order in which they came");
                    }
                }
                let count: usize = model.iter().map(std::collections::VecDeque::len).sum();
                ensure_eq!((queue.len(), queue.is_empty()), (count, count == 0), "len and is_empty of a queue of {count} items");
                let oldest = model.iter().filter_map(|lane| lane.front()).map(|(since, _)| *since).min();
                ensure!(queue.oldest() == oldest, "the oldest of {count} items is another one than `oldest` says"; expected = "the time of the item that has waited longest, of any priority");
            }
        }
        Ok(())
    })
    .await?
}

pub async fn queue_shares_turns(cx: Cx) -> Outcome {
    const HELP: &str = "give each priority as many of 15 turns as its weight; one that has no items leaves its turns to the others";
    let now = Instant::now();
    let mut draw = cx.draw();
    cx.call_fn(POP, || {
        let mut queue = filled(&Priority::ALL, 300, now);
        let turns: Vec<_> = (0..300).filter_map(|_| queue.pop(now)).collect();
        for (index, round) in turns.chunks(15).enumerate() {
            ensure!(counts(round).iter().all(|count| *count > 0), "items of all priorities wait, and turns {} to {} are low, medium, high, critical: {:?}", index * 15 + 1, index * 15 + 15, counts(round); expected = "at least one of each", help = HELP);
        }
        for (priority, count) in Priority::ALL.iter().zip(counts(&turns)) {
            let share = [20_usize, 40, 80, 160][*priority as usize];
            ensure!(count.abs_diff(share) <= 8, "items of all priorities wait, and of 300 turns {priority:?} has {count}"; expected = format!("{share}"), help = HELP);
        }
        // The shares of those who wait, without the others.
        for (priorities, shares) in [
            (vec![Priority::Low, Priority::High], vec![20, 80]),
            (vec![Priority::Low, Priority::Medium], vec![33, 67]),
            (vec![Priority::Medium, Priority::High], vec![33, 67]),
            (vec![Priority::Low], vec![100]),
            (vec![Priority::Critical], vec![100]),
        ] {
            let mut queue = filled(&priorities, 150, now);
            let turns: Vec<_> = (0..100).filter_map(|_| queue.pop(now)).collect();
            for (priority, share) in priorities.iter().zip(shares) {
                let count = counts(&turns)[*priority as usize];
                ensure!(count.abs_diff(share) <= 8, "only {priorities:?} wait, and of 100 turns {priority:?} has {count}"; expected = format!("about {share}"), help = HELP);
            }
        }
        // The items of one priority come one by one, each when the one before it has left.
        for (single, shares) in [
            (Priority::High, [15, 30, 60, 0]),
            (Priority::Medium, [15, 30, 60, 0]),
            (Priority::Low, [15, 30, 60, 0]),
            (Priority::Critical, [7, 14, 28, 56]),
        ] {
            let mut others = Priority::ALL.to_vec();
            others.retain(|it| *it != single && shares[*it as usize] > 0);
            let mut queue = filled(&others, 200, now);
            queue.push((single, 0), single, now);
            let mut turns = Vec::new();
            for number in 1..=105 {
                let Some(turn) = queue.pop(now) else { break };
                if turn.0 == single {
                    queue.push((single, number), single, now);
                }
                turns.push(turn);
            }
            for other in others {
                let (count, share) = (counts(&turns)[other as usize], shares[other as usize]);
                ensure!(count + 6 >= share, "items of priority {single:?} come one by one, each when the one before it has left, and many of the others wait: of 105 turns {other:?} has {count}"; expected = format!("about {share}"),
                    help = "the turns of a priority belong to its round, not to its items: an item that comes to an empty lane brings no new ones along");
            }
        }
        (0..24).try_for_each(|_| owes_nothing(&mut draw, now))
    })
    .await?
}

/// Times in which only some priorities had items, and then items of all of them.
fn owes_nothing(draw: &mut Draw, begin: Instant) -> Outcome {
    let (mut queue, mut now) = (PriorityQueue::new(*draw.pick(&[AGE, Duration::MAX])), begin);
    let mut past = Vec::new();
    for _ in 0..=draw.index(3) {
        let mut some: Vec<_> = Priority::ALL.into_iter().filter(|_| draw.chance(50)).collect();
        if some.is_empty() {
            some.push(*draw.pick(&Priority::ALL));
        }
        let turns = usize::try_from(draw.between(1..=400)).unwrap_or(1);
        for number in 0..turns {
            some.iter().for_each(|&it| queue.push((it, number), it, now));
        }
        // Some of them leave because of their age, which has to take no turns from the others later.
        let aged = draw.chance(30);
        now += if aged { AGE } else { ms(0) };
        for _ in 0..turns {
            let _ = queue.pop(now);
        }
        if aged || draw.chance(50) {
            while queue.pop(now).is_some() {}
        }
        past.push(format!(
            "{turns} turns of {some:?}{}",
            if aged { ", all of them old" } else { "" }
        ));
    }
    for number in 0..60 {
        Priority::ALL.iter().for_each(|&it| queue.push((it, number), it, now));
    }
    let turns: Vec<_> = (0..60).filter_map(|_| queue.pop(now)).collect();
    for (priority, count) in Priority::ALL.iter().zip(counts(&turns)) {
        let (share, most) = [(4_usize, 3), (8, 4), (16, 6), (32, 8)][*priority as usize];
        ensure!(count.abs_diff(share) <= most, "a queue has had {}; then items of all priorities come, and of the next 60 turns {priority:?} has {count}", past.join(", then ");
            expected = format!("about {share}"), help = "what a priority had before decides nothing: turns that it did not take, while it had no items, are not owed to it, and a credit is never more than its weight");
    }
    Ok(())
}

pub async fn queue_lifts_what_waited(cx: Cx) -> Outcome {
    const HELP: &str = "before the weights decide, look at the first item of each priority but critical: the one that has waited longest goes, from `max_wait` on";
    let begin = Instant::now();
    let mut draw = cx.draw();
    cx.call_fn(POP, || {
        for age in [AGE, ms(3), ms(600), Duration::from_secs(90_000)] {
            // A low item against a stream of high ones: twice as many as there are turns.
            let mut queue: Queue = PriorityQueue::new(age);
            let mut now = begin;
            for round in 0..12_usize {
                let other = [Priority::Low, Priority::Medium][round % 2];
                queue.push((other, round), other, now);
                for step in 0..4_usize {
                    queue.push((Priority::High, round), Priority::High, now);
                    queue.push((Priority::High, round), Priority::High, now);
                    if queue.pop(now) == Some((other, round)) {
                        break;
                    }
                    ensure!(step < 3, "more high items come than there are turns, and an item of priority {other:?} that has waited for {age:?} has no turn"; expected = "it goes before those that have waited less", help = HELP);
                    now += age / 3;
                }
                while queue.pop(now).is_some() {}
                now += ms(1);
            }
            // What has waited for a millisecond less is not lifted: the weights share the turns.
            let mut queue: Queue = PriorityQueue::new(age);
            for number in 0..100 {
                queue.push((Priority::Low, number), Priority::Low, begin);
                queue.push((Priority::High, number), Priority::High, begin + ms(1));
            }
            let early = begin + age - ms(1);
            let turns: Vec<_> = (0..50).filter_map(|_| queue.pop(early)).collect();
            let low = counts(&turns)[Priority::Low as usize];
            ensure!(low <= 18, "low items have waited for a millisecond less than {age:?}, and of 50 turns they have {low}, the high ones the others"; expected = "10: the weights decide", help = HELP);
        }
        // Of several that have waited too long, the one that has waited longest.
        let mut queue: Queue = PriorityQueue::new(AGE);
        let order = [Priority::Medium, Priority::Low, Priority::High, Priority::Low];
        for (number, priority) in order.into_iter().enumerate() {
            queue.push((priority, number), priority, begin + ms(number as u64));
        }
        let late = begin + AGE + ms(3);
        let seen: Vec<_> = std::iter::from_fn(|| queue.pop(late)).map(|(_, number)| number).collect();
        ensure_eq!(seen, [0, 1, 2, 3], "four items that have all waited for more than 30 s"; help = HELP);
        // The smallest wait: age decides alone. The largest: it never decides.
        let mut queue: Queue = PriorityQueue::new(ms(0));
        let mut order: Vec<_> = (0..60).map(|number| (Priority::ALL[number % 3], number)).collect();
        draw.shuffle(&mut order);
        for (place, item) in order.iter().enumerate() {
            queue.push(*item, item.0, begin + ms(place as u64));
        }
        let seen: Vec<_> = std::iter::from_fn(|| queue.pop(begin + ms(60))).collect();
        ensure!(seen == order, "60 items that are not critical, and a `max_wait` of zero: they leave in another order than they came"; expected = "by age, whatever their priorities are", help = HELP);
        let mut queue: Queue = PriorityQueue::new(Duration::MAX);
        for number in 0..100 {
            queue.push((Priority::Low, number), Priority::Low, begin);
            queue.push((Priority::High, number), Priority::High, begin + ms(1));
        }
        let late = begin + Duration::from_secs(400 * 86_400);
        let turns: Vec<_> = (0..50).filter_map(|_| queue.pop(late)).collect();
        let low = counts(&turns)[Priority::Low as usize];
        ensure!((2..=18).contains(&low), "low items have waited for 400 days with a `max_wait` of `Duration::MAX`, and of 50 turns they have {low}, the high ones the others"; expected = "10: the weights decide", help = HELP);
        Ok(())
    })
    .await?
}

pub async fn critical_goes_next(cx: Cx) -> Outcome {
    const HELP: &str = "critical items have 8 of 15 turns whatever the age of the others; a turn that no critical item wants is not owed to it later";
    let begin = Instant::now();
    cx.call_fn(POP, || {
        for late in [ms(0), AGE, AGE * 100] {
            let now = begin + late;
            let others = [Priority::Low, Priority::Medium, Priority::High];
            let mut queue = filled(&others, 100, begin);
            for taken in 0..20_usize {
                let mut queue = queue.clone();
                queue.push((Priority::Critical, 0), Priority::Critical, now);
                let place = (1..=15).find(|_| queue.pop(now) == Some((Priority::Critical, 0)));
                ensure!(place.is_some(), "{} items have waited for {} s, {taken} turns were taken, and a critical item comes: it is not among the next 15", queue.len(), late.as_secs(); expected = "it is", help = HELP);
                // And a crowd of critical items leaves something to the others.
                for number in 1..60 {
                    queue.push((Priority::Critical, number), Priority::Critical, now);
                }
                let turns: Vec<_> = (0..45).filter_map(|_| queue.pop(now)).collect();
                let critical = counts(&turns)[Priority::Critical as usize];
                ensure!((16..=32).contains(&critical), "critical items and others that have waited for {} s: of 45 turns critical ones have {critical}", late.as_secs(); expected = "24, about", help = HELP);
            }
            let _ = queue.pop(now);
        }
        Ok(())
    })
    .await?
}
