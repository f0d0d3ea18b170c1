//! Who should execute what: a pure function of what every worker sees in the database, so that they agree without talking.

use std::collections::{BTreeMap, BTreeSet};

use super::lease::Wants;

/// Shares observers out evenly among the workers that want them; who is stuck with one counts only if all are who want it.
/// Whoever holds one keeps it, unless another has at least two fewer. `holders`: each observer, and who holds its lease now.
/// What somebody holds who is no worker, nobody gets.
pub(super) fn shares<'a>(
    holders: &BTreeMap<&'a str, Option<&'a str>>,
    workers: &BTreeMap<&'a str, &Wants>,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut shares: BTreeMap<&str, BTreeSet<&str>> = workers.keys().map(|worker| (*worker, BTreeSet::new())).collect();
    let able: BTreeSet<_> = workers.values().flat_map(|wants| wants.all.difference(&wants.stuck)).collect();
    let wants = |worker: &str, observer: &str| {
        let Some(Wants { all, stuck }) = workers.get(worker) else { return false };
        all.get(observer).is_some_and(|observer| !stuck.contains(observer) || !able.contains(observer))
    };
    let mut free = vec![];
    for (observer, holder) in holders {
        match holder {
            Some(holder) if wants(holder, observer) => {
                shares.entry(holder).or_default().insert(observer);
            }
            Some(holder) if !workers.contains_key(holder) => {}
            Some(_) | None => free.push(*observer),
        }
    }
    for observer in free {
        let poorest = shares.iter_mut().filter(|(worker, _)| wants(worker, observer)).min_by_key(|(_, has)| has.len());
        if let Some((_, has)) = poorest {
            has.insert(observer);
        }
    }
    // Ends, as each gift makes the numbers more alike.
    while let Some((from, to, observer)) = gift(&shares, wants) {
        shares.entry(from).or_default().remove(observer);
        shares.entry(to).or_default().insert(observer);
    }
    shares
}

/// Who gives what to whom: one with two fewer, who wants it.
fn gift<'a>(
    shares: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    wants: impl Fn(&str, &str) -> bool,
) -> Option<(&'a str, &'a str, &'a str)> {
    let pairs = shares.iter().flat_map(|from| shares.iter().map(move |to| (from, to)));
    let uneven = pairs.filter(|((_, has), (_, less))| has.len() >= less.len() + 2);
    let mut gifts = uneven.filter_map(|((from, has), (to, less))| {
        let observer = has.iter().find(|observer| wants(to, observer))?;
        Some((has.len() - less.len(), (*from, *to, *observer)))
    });
    gifts.by_ref().max_by_key(|(difference, _)| *difference).map(|(_, gift)| gift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OBSERVERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const WORKERS: [&str; 4] = ["one", "two", "three", "four"];

    fn sizes(shares: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<usize> {
        let mut sizes: Vec<_> = shares.values().map(BTreeSet::len).collect();
        sizes.sort_unstable();
        sizes
    }

    fn wants(of: impl Fn(&str) -> bool, stuck: impl Fn(&str) -> bool) -> Wants {
        let names = |is_in: &dyn Fn(&str) -> bool| {
            OBSERVERS.into_iter().filter(|observer| is_in(observer)).map(str::to_owned).collect()
        };
        Wants { all: names(&of), stuck: names(&|observer| of(observer) && stuck(observer)) }
    }

    fn everything() -> Wants {
        wants(|_| true, |_| false)
    }

    fn shared(
        holders: [Option<&'static str>; 8],
        workers: &[(&'static str, Wants)],
    ) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        let holders = OBSERVERS.into_iter().zip(holders).collect();
        shares(&holders, &workers.iter().map(|(name, wants)| (*name, wants)).collect())
    }

    #[test]
    fn one_worker_gets_all_and_a_second_one_half_of_them() {
        assert_eq!(sizes(&shared([None; 8], &[("one", everything())])), [8]);
        let workers = ["one", "two", "three"].map(|name| (name, everything()));
        assert_eq!(sizes(&shared([Some("one"); 8], &workers)), [2, 3, 3]);
    }

    #[test]
    fn who_is_stuck_gives_to_others_unless_all_are() {
        let stuck = || wants(|_| true, |_| true);
        let held = [Some("one"); 8];
        assert_eq!(sizes(&shared(held, &[("one", stuck()), ("two", everything())])), [0, 8]);
        // With nobody better off each keeps what it has.
        let halves = ["one", "one", "one", "one", "two", "two", "two", "two"].map(Some);
        let kept = shared(halves, &[("one", stuck()), ("two", stuck())]);
        assert_eq!(
            (kept["one"].clone(), kept["two"].clone()),
            (["a", "b", "c", "d"].into(), ["e", "f", "g", "h"].into())
        );
        let one_stream = wants(|_| true, |observer| observer == "a");
        let kept = shared(halves, &[("one", one_stream), ("two", everything())]);
        assert!(kept["two"].contains("a"), "{kept:?}");
        assert_eq!(sizes(&kept), [4, 4], "and gets another one for it");
    }

    #[test]
    fn wants_are_read_as_they_are_written() {
        for stuck in ["", "ac"] {
            let told = wants(|observer| observer < "e", |observer| stuck.contains(observer));
            assert_eq!(Wants::of(&told.to_string()), told);
        }
    }

    #[test]
    fn what_no_worker_holds_is_left_alone_and_what_one_does_not_want_goes_to_another() {
        let held = BTreeMap::from([("a", Some("rebuild")), ("b", Some("one")), ("c", Some("one"))]);
        let (one, two) = (wants(|observer| observer != "c", |_| false), wants(|observer| observer != "b", |_| false));
        let shared = shares(&held, &BTreeMap::from([("one", &one), ("two", &two)]));
        assert_eq!((shared["one"].clone(), shared["two"].clone()), (["b"].into(), ["c"].into()));
    }

    proptest! {
        /// Whoever wants something can get it, nothing is there twice, and nobody moves anything a second time.
        #[test]
        fn shares_are_even_complete_and_stay(
            holders in proptest::collection::vec(proptest::option::of(0..5_usize), 8),
            // 0: not wanted, 1: wanted, 2: wanted, but stuck.
            wanted in proptest::collection::vec(proptest::collection::vec(0..3, 8), 1..=4),
        ) {
            let name = |at: usize| WORKERS.get(at).copied().unwrap_or("nobody");
            let holders: BTreeMap<_, _> = OBSERVERS.into_iter().zip(holders.iter().map(|at| at.map(name))).collect();
            let at = |observer: &str| OBSERVERS.iter().position(|one| *one == observer).unwrap();
            let wanted: Vec<_> =
                wanted.iter().map(|of| wants(|observer| of[at(observer)] > 0, |observer| of[at(observer)] > 1)).collect();
            let wanted: BTreeMap<_, _> = (0..).zip(&wanted).map(|(at, wants)| (name(at), wants)).collect();
            let shared = shares(&holders, &wanted);
            for observer in OBSERVERS {
                let takers: Vec<_> = shared.iter().filter(|(_, has)| has.contains(observer)).map(|(one, _)| *one).collect();
                let foreign = holders[observer].is_some_and(|holder| !wanted.contains_key(holder));
                let is_wanted = wanted.values().any(|wants| wants.all.contains(observer));
                let is_stuck = wanted.values().all(|wants| !wants.all.contains(observer) || wants.stuck.contains(observer));
                prop_assert_eq!(takers.len(), usize::from(is_wanted && !foreign));
                prop_assert!(takers.iter().all(|taker| wanted[taker].all.contains(observer)));
                prop_assert!(takers.iter().all(|taker| is_stuck || !wanted[taker].stuck.contains(observer)));
            }
            let after = OBSERVERS.map(|observer| {
                let taker = shared.iter().find(|(_, has)| has.contains(observer)).map(|(one, _)| *one);
                (observer, taker.or(holders[observer].filter(|holder| !wanted.contains_key(holder))))
            }).into();
            prop_assert_eq!(shares(&after, &wanted), shared);
        }
    }
}
