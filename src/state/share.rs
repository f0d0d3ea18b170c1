//! Who should execute what: a pure function of what every worker sees in the database, so that they agree without talking.

use std::collections::{BTreeMap, BTreeSet};

/// Shares observers out evenly among the workers that want them. Whoever holds one keeps it, unless another has at least two
/// fewer. `holders`: each observer, and who holds its lease now. What somebody holds who is no worker, nobody gets.
pub(super) fn shares<'a>(
    holders: &BTreeMap<&'a str, Option<&'a str>>,
    workers: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut shares: BTreeMap<&str, BTreeSet<&str>> = workers.keys().map(|worker| (*worker, BTreeSet::new())).collect();
    let wants = |worker: &str, observer: &str| workers.get(worker).is_some_and(|wanted| wanted.contains(observer));
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

    fn all(workers: &[&'static str]) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        workers.iter().map(|worker| (*worker, BTreeSet::from(OBSERVERS))).collect()
    }

    #[test]
    fn one_worker_gets_all_and_a_second_one_half_of_them() {
        let free = OBSERVERS.map(|observer| (observer, None)).into();
        assert_eq!(sizes(&shares(&free, &all(&["one"]))), [8]);
        let held = OBSERVERS.map(|observer| (observer, Some("one"))).into();
        let shared = shares(&held, &all(&["one", "two", "three"]));
        assert_eq!(sizes(&shared), [2, 3, 3]);
    }

    #[test]
    fn what_no_worker_holds_is_left_alone_and_what_one_does_not_want_goes_to_another() {
        let held = BTreeMap::from([("a", Some("rebuild")), ("b", Some("one")), ("c", Some("one"))]);
        let mut workers = all(&["one", "two"]);
        workers.get_mut("one").unwrap().remove("c");
        workers.get_mut("two").unwrap().remove("b");
        let shared = shares(&held, &workers);
        assert_eq!((shared["one"].clone(), shared["two"].clone()), (["b"].into(), ["c"].into()));
    }

    proptest! {
        /// Whoever wants something can get it, nothing is there twice, and nobody moves anything a second time.
        #[test]
        fn shares_are_even_complete_and_stay(
            holders in proptest::collection::vec(proptest::option::of(0..5_usize), 8),
            wanted in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 8), 1..=4),
        ) {
            let name = |at: usize| WORKERS.get(at).copied().unwrap_or("nobody");
            let holders: BTreeMap<_, _> = OBSERVERS.into_iter().zip(holders.iter().map(|at| at.map(name))).collect();
            let wanted: BTreeMap<_, BTreeSet<_>> = (0..).zip(&wanted).map(|(at, wants)| {
                (name(at), OBSERVERS.into_iter().zip(wants).filter(|(_, wants)| **wants).map(|(one, _)| one).collect())
            }).collect();
            let shared = shares(&holders, &wanted);
            for observer in OBSERVERS {
                let takers: Vec<_> = shared.iter().filter(|(_, has)| has.contains(observer)).map(|(one, _)| *one).collect();
                let foreign = holders[observer].is_some_and(|holder| !wanted.contains_key(holder));
                let is_wanted = wanted.values().any(|wants| wants.contains(observer));
                prop_assert_eq!(takers.len(), usize::from(is_wanted && !foreign));
                prop_assert!(takers.iter().all(|taker| wanted[taker].contains(observer)));
            }
            let after = OBSERVERS.map(|observer| {
                let taker = shared.iter().find(|(_, has)| has.contains(observer)).map(|(one, _)| *one);
                (observer, taker.or(holders[observer].filter(|holder| !wanted.contains_key(holder))))
            }).into();
            prop_assert_eq!(shares(&after, &wanted), shared);
        }
    }
}
